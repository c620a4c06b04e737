using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>
/// Gives weights a compact number format, to be computed when the artifact is written. Blocks run along the reduction axis:
/// <code>
/// MatMul b [K, N]                  permuted(perm=1x0) > int4(...) over b transposed, [N, K]
/// Gemm b [N, K] (transB), Gather   int4(...) over the tensor as it is
/// Conv w [O, I, kH, kW]            reshaped > int8(...) over [O, I*kH*kW]
/// </code>
/// Option <c>axis</c> chooses the last or the first axis of the tensor instead (a first axis of several is <c>reshaped > permuted(perm=1x0) > ...</c>).
/// Weights with an algorithm that needs calibration data (options <c>algorithm</c> and <c>scales</c>) are encoded here, in the order in which the graph uses them; see <see cref="EncodeCalibrated"/>.
/// Weights that are stored as sparse matrices are encoded as if they were not, and stored as such again. Of weights that <c>decompose</c> made factors of, every factor is encoded by itself.
/// What is left alone is reported with its reason. A recipe rule that sets the format of a tensor overrides the policies for ends and convolutions, and the check of its use: blocks then run along the last axis.
/// </summary>
internal sealed partial class QuantizePass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);
    private readonly ImmutableArray<string> _ops = options.Texts("ops");

    public string Name => "quantize";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Compressed;

    public Model Run(Model model, PassContext context)
    {
        Model plain = SparseWeight.Expand(model);
        GraphUsage? usage = plain.Kind == ModelKind.Onnx ? new GraphUsage(new GraphIndex(plain.Graph)) : null;
        ImmutableArray<Tensor> tensors = plain.Graph.Initializers;
        var plans = new Plan[tensors.Length];
        for (int i = 0; i < tensors.Length; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            plans[i] = MakePlan(tensors[i], usage);
        }

        if (options.Flag("share_scales") && !context.PlanOnly)
        {
            SharedScales.Apply(tensors, plans.Select(p => p.Format).ToArray(), (i, format) => Complete(plans[i], format, WeightMatrix.Of(tensors[i], plans[i].Usage.Layout), context), (i, format) => plans[i] = plans[i] with { Format = format }, context);
        }

        // Looking at values (scale=auto) is the slow part; each tensor is independent. Tensors that share an encoding go on sharing it.
        var results = new Tensor[tensors.Length];
        int[] leaders = Leaders(tensors, plans);
        Parallel.For(0, tensors.Length, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads), CancellationToken = context.Cancellation }, i =>
        {
            results[i] = tensors[i];
            if (plans[i].Factors is UnitSpec factors)
            {
                results[i] = EncodeFactors(tensors[i], plans[i], factors, context);
            }

            if (plans[i].Format is not UnitSpec format || leaders[i] != i || (plans[i].Calibrated is not null && !context.PlanOnly))
            {
                return;
            }

            try
            {
                results[i] = Apply(tensors[i], plans[i], format, context);
            }
            catch (ModelPackException e)
            {
                plans[i] = plans[i] with { Format = null, Failure = e };
            }
        });
        if (!context.PlanOnly)
        {
            EncodeCalibrated(plain, plans, leaders, results, context);
        }

        for (int i = 0; i < results.Length; i++)
        {
            if (leaders[i] == i && !ReferenceEquals(tensors[i], model.Graph.Initializers[i]))
            {
                results[i] = SparseAgain(model.Graph.Initializers[i], tensors[i], results[i], context);
            }
        }

        for (int i = 0; i < results.Length; i++)
        {
            if (leaders[i] != i)
            {
                results[i] = tensors[i] with { Encoding = results[leaders[i]].Encoding };
                plans[i] = plans[leaders[i]];
            }
        }

        return Report(model, plans, results, context);
    }

    /// <summary>A weight that came as a sparse matrix: as it was when nothing was done with it, else sparse with encoded values.</summary>
    private static Tensor SparseAgain(Tensor given, Tensor expanded, Tensor result, PassContext context) =>
        ReferenceEquals(expanded, result) ? given : result with { Encoding = context.FindSparsity?.Invoke(result.Encoding) ?? result.Encoding };

    /// <summary>For each tensor the first one that has the same encoding object and the same plan: itself for most.</summary>
    private static int[] Leaders(ImmutableArray<Tensor> tensors, Plan[] plans)
    {
        int[] leaders = [.. Enumerable.Range(0, tensors.Length)];
        var first = new Dictionary<WeightEncoding, int>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < leaders.Length; i++)
        {
            if (plans[i].Format is not null && !first.TryAdd(tensors[i].Encoding, i))
            {
                int candidate = first[tensors[i].Encoding];
                bool same = plans[candidate].Usage.Layout == plans[i].Usage.Layout && plans[candidate].Format == plans[i].Format
                    && plans[candidate].Calibrated == plans[i].Calibrated
                    && tensors[candidate].DType == tensors[i].DType;
                leaders[i] = same ? candidate : i;
            }
        }

        return leaders;
    }

    private static Model Report(Model model, Plan[] plans, Tensor[] results, PassContext context)
    {
        int count = 0;
        long elements = 0;
        for (int i = 0; i < plans.Length; i++)
        {
            if ((plans[i].Format ?? plans[i].Factors) is not null)
            {
                count++;
                elements += results[i].Shape.ElementCount;
            }
            else if (plans[i].Failure is ModelPackException failure)
            {
                // NaN or infinity: the tensor cannot be quantised, the model still can. Anything else is an error.
                if (failure.Code != ErrorCodes.UnrepresentableValue)
                {
                    throw new ModelPackException(failure.Code, failure.Message, failure.Path, results[i].Name, innerException: failure);
                }

                context.Report(DiagnosticSeverity.Warning, $"kept as {results[i].DType.Name()}: {failure.Message}", results[i].Name);
            }
            else if (plans[i].Refusal is string reason)
            {
                context.Report(DiagnosticSeverity.Info, $"kept as {results[i].DType.Name()}: {reason}", results[i].Name);
            }
        }

        context.Measure("tensors_quantized", count);
        context.Measure("elements_quantized", elements);
        return count == 0 ? model : model with { Graph = model.Graph with { Initializers = [.. results] } };
    }

    /// <summary>Decides from names, shapes and uses alone; no data is read.</summary>
    private Plan MakePlan(Tensor tensor, GraphUsage? graphUsage)
    {
        StructuredEncoding? matrix = DecomposedMatrix.Of(tensor.Encoding);
        bool hasFactors = matrix is not null && matrix.Components.Any(DecomposedMatrix.IsPlain);
        if (tensor.DType is not (DType.F32 or DType.F16 or DType.BF16) || (hasFactors ? 32 : StoredBits(tensor.Encoding)) is not double stored)
        {
            return new Plan(); // Not a float weight, or compressed already: nothing to say about it.
        }

        TensorDecision decision = rules.For(tensor.Name, options);
        bool meant = decision.Given.Contains("format");
        WeightUsage usage = graphUsage?.Of(tensor) ?? CheckpointUsage.Of(tensor);
        if (meant && usage.Refusal is not null && tensor.Shape.Rank >= 2)
        {
            usage = new WeightUsage(WeightLayout.Rows, WeightRole.Hidden, _ops.FirstOrDefault(""));
        }

        string? refusal = Refusal(tensor, decision, meant, usage);
        if (refusal is not null)
        {
            return new Plan(Refusal: refusal);
        }

        string? format = meant ? decision.Options.Text("format") : FormatFor(usage.Role, decision.Options);
        if (format is null)
        {
            return new Plan(Refusal: usage.Role == WeightRole.End ? "it is at an end of the network (option 'ends')" : "it is a convolution (option 'convolutions')");
        }

        PassOptions chosen = decision.Options;
        WeightLayout layout = LayoutFor(chosen.Text("axis"), tensor.Shape.Rank, usage.Layout);
        // Statistics of an input are of no use where blocks run across it.
        usage = usage with { Layout = layout, Activation = layout == usage.Layout ? usage.Activation : null };
        UnitSpec spec = QuantizeFormat.Of(format, chosen);
        if (hasFactors)
        {
            return new Plan(usage, Factors: spec, AllowTernary: chosen.Flag("allow_ternary"), Fit: Scales(chosen));
        }

        double bits = BitsPerValue(spec, WeightMatrix.Of(tensor, usage.Layout).Shape);
        return bits < stored
            ? new Plan(usage, spec, AllowTernary: chosen.Flag("allow_ternary"), Fit: Scales(chosen), Calibrated: Calibration(usage, chosen))
            : new Plan(Refusal: string.Create(CultureInfo.InvariantCulture, $"rows of {WeightMatrix.Of(tensor, usage.Layout).Shape.Columns} in {spec} would take {bits:0.#} bits per value instead of {stored:0.#}"));
    }

    /// <summary>Bits per value of a weight as the input has it: plain, or scaled FP8 of a checkpoint. Null for what passes have compressed already.</summary>
    private static double? StoredBits(WeightEncoding encoding) =>
        Structured.IsRaw(encoding, out DType stored) ? stored.BitsPerElement()
        : encoding is DenseEncoding { IsPending: false, Format.Id: "fp8" } fp8 ? NumberFormats.Bind(fp8.Format, fp8.Shape).BitsPerValue
        : null;

    private string? Refusal(Tensor tensor, TensorDecision decision, bool meant, WeightUsage usage)
    {
        long least = Math.Max(1, decision.Options.Integer("min_elements"));
        return _selection.Refusal(tensor.Name, decision) is string named ? named
            : tensor.Shape.Rank < 2 ? "it is no matrix"
            : tensor.Shape.ElementCount < least ? $"it has fewer than {least} elements"
            : usage.Refusal is not null ? usage.Refusal
            : !meant && !_ops.Contains(usage.Op) ? $"option 'ops' does not list {usage.Op}"
            : null;
    }

    /// <summary>Null: keep.</summary>
    private static string? FormatFor(WeightRole role, PassOptions chosen)
    {
        string policy = role switch
        {
            WeightRole.End => chosen.Text("ends"),
            WeightRole.Convolution => chosen.Text("convolutions"),
            _ => "same",
        };
        return policy switch
        {
            "keep" => null,
            "same" => chosen.Text("format"),
            string format => format,
        };
    }

    private static WeightLayout LayoutFor(string axis, int rank, WeightLayout reduction) => axis switch
    {
        "last" => WeightLayout.Rows,
        "first" => rank == 2 ? WeightLayout.Columns : WeightLayout.First,
        _ => reduction,
    };

    private static Tensor Apply(Tensor tensor, Plan plan, UnitSpec format, PassContext context)
    {
        WeightEncoding source = WeightMatrix.Of(tensor, plan.Usage.Layout);
        if (plan.Fit is ScaleChoice.Squares or ScaleChoice.Robust && !context.PlanOnly)
        {
            UnitSpec spec = Complete(plan, WithoutSearch(format), source, context);
            using IPreparedAlgorithm nearest = WeightAlgorithms.Nearest.Prepare(null, AlgorithmOptions.None, context.Threads, context.Cancellation);
            EncodedWeight encoded = WeightEncoder.Encode(source, spec, [new RowGroup(nearest, null)], plan.Fit, context);
            context.Measure("relative_error", encoded.RelativeError, tensor.Name);
            return tensor with { Encoding = WeightMatrix.Wrap(tensor, plan.Usage.Layout, encoded.Encoding) };
        }

        return tensor with { Encoding = WeightMatrix.Wrap(tensor, plan.Usage.Layout, DenseEncoding.Pending(Complete(plan, format, source, context), source)) };
    }

    /// <summary>The format with everything that depends on the values.</summary>
    private static UnitSpec Complete(Plan plan, UnitSpec format, WeightEncoding source, PassContext context)
    {
        if (NumberFormats.Get(format.Id) is ITernaryFormat ternary)
        {
            format = QuantizeFormat.Ternary(ternary, format, context.OpenValues(source), plan.AllowTernary);
        }

        UnitSpec chosen = format.Text("scale", "") != "auto" ? format : context.ChooseFormat?.Invoke(format, source) ?? WithScale(format, "f32");
        chosen = NumberFormats.Get(chosen.Id) is ITensorwideFormat tensorwide ? tensorwide.Complete(chosen, context.OpenValues(source)) : chosen;
        return NumberFormats.Bind(chosen, source.Shape).Spec;
    }

    /// <summary>Every factor of a decomposed weight by itself, to the nearest value: blocks run along its rows, which is what products with it sum over. Those that would not become smaller stay.</summary>
    private static Tensor EncodeFactors(Tensor tensor, Plan plan, UnitSpec format, PassContext context)
    {
        Plan each = plan with { Usage = plan.Usage with { Layout = WeightLayout.Rows } };
        WeightEncoding Encode(WeightEncoding factor) => BitsPerValue(format, factor.Shape) < StoredBits(factor)
            ? Apply(new Tensor { Name = tensor.Name, DType = DType.F32, Shape = factor.Shape, Encoding = factor }, each, format, context).Encoding
            : factor;
        return tensor with { Encoding = DecomposedMatrix.With(tensor.Encoding, Encode) };
    }

    private static double BitsPerValue(UnitSpec spec, Shape shape)
    {
        UnitSpec concrete = spec.Text("scale", "") == "auto" ? WithScale(spec, "f32") : spec;
        return NumberFormats.Bind(concrete, shape).BitsPerValue;
    }

    private static UnitSpec WithScale(UnitSpec spec, string scale) =>
        new(spec.Id, [.. spec.Arguments.SetItem("scale", scale).Select(a => (a.Key, a.Value))]);

    private readonly record struct Plan(WeightUsage Usage = default, UnitSpec? Format = null, string? Refusal = null, ModelPackException? Failure = null, UnitSpec? Factors = null, bool AllowTernary = false, ScaleChoice Fit = ScaleChoice.Encoder, CalibratedChoice? Calibrated = null);
}
