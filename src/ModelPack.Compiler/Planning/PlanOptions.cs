namespace ModelPack.Compiler.Planning;

/// <summary>What to plan for.</summary>
public sealed record PlanOptions
{
    /// <summary>Hardware profile, recorded in the plan.</summary>
    public string Target { get; init; } = "generic";

    /// <summary>How exactly kernels must compute.</summary>
    public PlanAccuracy Accuracy { get; init; } = PlanAccuracy.Exact;

    /// <summary>Operators of ONNX Runtime only: for models that other hosts run.</summary>
    public bool StockOperators { get; init; }

    /// <summary>A machine whose measurements decide between kernels; null for the order that is good on most machines.</summary>
    public HardwareProfile? Profile { get; init; }

    /// <summary>Measurements of the products themselves, which go before the profile's; null for none.</summary>
    public IProductTimes? Times { get; init; }

    /// <summary>Rows of activations at which kernels are compared: 1 for generating text.</summary>
    public long Rows { get; init; } = 1;

    /// <summary>True for tensors that live in the artifact instead of inside the graph. Tensors that stay inside are not planned.</summary>
    public Func<Tensor, bool> IsExternal { get; init; } = Planner.IsExternalByDefault;
}

/// <summary>How exactly kernels must compute with the stored weights.</summary>
public enum PlanAccuracy
{
    /// <summary>
    /// As <see cref="Exact"/>, but weights that are plain floats (f32, bf16, f16) are left to ONNX Runtime's own operators: the outputs of a model whose weights nothing changed are the
    /// same, bit for bit.
    /// </summary>
    Identical,

    /// <summary>f32 arithmetic on the decoded weights: results differ from dense execution by rounding only (about 1e-7 relative).</summary>
    Exact,

    /// <summary>
    /// Also kernels that round activations to int8 per block: 1.6 to 2.4 times as fast on matrix-vector products where it was measured, about 0.5 % relative error of
    /// each product (numbers in <see cref="MatMulNBits"/>).
    /// </summary>
    Fast,
}
