namespace ModelPack.Kernels.MatMul;

/// <summary>Arithmetics by name, and which a weight has.</summary>
public static class MatMulArithmetics
{
    /// <summary>All.</summary>
    public static IReadOnlyList<MatMulArithmetic> All { get; } = Enum.GetValues<MatMulArithmetic>();

    /// <summary>Name in plans and in the attribute of the operator: what activations are while they are multiplied.</summary>
    public static string Name(this MatMulArithmetic arithmetic) => arithmetic switch
    {
        MatMulArithmetic.Integer => "int8",
        MatMulArithmetic.BFloat16 => "bf16",
        _ => "f32",
    };

    /// <summary>The arithmetic of a name; null when there is none.</summary>
    public static MatMulArithmetic? Find(string? name)
    {
        foreach (MatMulArithmetic arithmetic in All)
        {
            if (arithmetic.Name() == name)
            {
                return arithmetic;
            }
        }

        return null;
    }

    /// <summary>Whether there are kernels for a weight.</summary>
    public static bool Has(this MatMulWeight weight, MatMulArithmetic arithmetic) => arithmetic switch
    {
        MatMulArithmetic.Integer => weight.HasIntegerKernel,
        MatMulArithmetic.BFloat16 => weight.HasBFloat16Kernel,
        _ => true,
    };

    /// <summary>The one that is fastest where activations may be rounded.</summary>
    public static MatMulArithmetic Rounding(this MatMulWeight weight) =>
        weight.HasIntegerKernel ? MatMulArithmetic.Integer : weight.HasBFloat16Kernel ? MatMulArithmetic.BFloat16 : MatMulArithmetic.Float;
}
