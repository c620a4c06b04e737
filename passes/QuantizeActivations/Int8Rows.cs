using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>
/// Weights as int8 with one scale per output channel:
/// <code>
/// Conv w [O, I/g, k...]     reshaped > int8(block=row) over [O, I/g * k...]
/// MatMul w [K, N], Gemm     permuted(perm=1x0) > int8(block=row) over w transposed, [N, K]
/// Gemm w [N, K] (transB)    int8(block=row)
/// </code>
/// </summary>
internal static class Int8Rows
{
    /// <summary>Largest code of a bias in 32 bits: leaves as much room again for the products that are added to it.</summary>
    public const double LargestBias = 1 << 30;

    private const int TileElements = 1 << 20;

    /// <summary>The encoding, to be computed when the artifact is written.</summary>
    public static Tensor Pending(QuantizableUnit unit, Tensor weight, string search) =>
        weight with { Encoding = Wrap(unit, weight, DenseEncoding.Pending(Spec(search), Component(unit, weight))) };

    /// <summary>Outputs that a weight makes: N.</summary>
    public static long Outputs(QuantizableUnit unit, Tensor weight) => weight.Shape[IsTransposed(unit) ? weight.Shape.Rank - 1 : 0];

    /// <summary>True for a weight that is plain, or stored like this already.</summary>
    public static bool Fits(QuantizableUnit unit, Tensor weight) => Structured.IsRaw(weight.Encoding, out _) || Stored(unit, weight) is not null;

    /// <summary>
    /// Encodes a weight. A row so small beside its bias that the bias in units of both scales would not fit 32 bits becomes zeros, with scale 1: all it adds is below what the sum resolves.
    /// </summary>
    /// <param name="unit">The unit that reads the weight.</param>
    /// <param name="weight">The weight: plain, or int8 rows already, which stay as they are.</param>
    /// <param name="bias">[N] or null.</param>
    /// <param name="inputScale">Scale of the activations.</param>
    /// <param name="search">Option <c>search</c> of the format.</param>
    /// <param name="context">Threads, storage.</param>
    /// <param name="relativeError">||W - W'|| / ||W|| when the codes were chosen here.</param>
    /// <returns>Null when the codes are given and a bias does not fit.</returns>
    /// <exception cref="ModelPackException">MP1040: a weight is NaN or infinite.</exception>
    public static Tensor? Encode(QuantizableUnit unit, Tensor weight, float[]? bias, float inputScale, string search, PassContext context, out double? relativeError)
    {
        relativeError = null;
        DenseEncoding? stored = Stored(unit, weight);
        if (stored is { IsPending: false })
        {
            return Scales(stored).Zip(bias ?? []).All(p => Fits(p.Second, inputScale, p.First)) ? weight : null;
        }

        WeightEncoding source = stored?.Source ?? Component(unit, weight);
        UnitSpec spec = stored is null ? Spec(search) : stored.Format.With("scale", "f32");
        IValueReader reader = context.OpenValues(source);
        IBoundNumberFormat format = NumberFormats.Bind(spec, source.Shape);
        int rows = checked((int)source.Shape.Rows);
        int columns = checked((int)source.Shape.Columns);
        byte[][] streams = [.. format.Streams.Select(s => new byte[checked(s.BytesPerRow * rows)])];
        int tile = Math.Max(1, TileElements / Math.Max(1, columns));
        int tiles = (rows + tile - 1) / tile;
        double[] errors = new double[tiles];
        double[] squares = new double[tiles];
        Parallel.For(0, tiles, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads), CancellationToken = context.Cancellation }, t =>
        {
            int first = t * tile;
            int count = Math.Min(tile, rows - first);
            float[] values = new float[count * columns];
            reader.ReadRows(first, count, values);
            Memory<byte>[] parts = [.. streams.Select((s, i) => s.AsMemory(checked((int)(first * format.Streams[i].BytesPerRow)), checked((int)(count * format.Streams[i].BytesPerRow))))];
            format.EncodeRows(values, count, parts);
            Span<float> scales = MemoryMarshal.Cast<byte, float>(parts[ScaleStream(format)].Span);
            bool again = false;
            for (int r = 0; r < count; r++)
            {
                if (bias is not null && !Fits(bias[first + r], inputScale, scales[r]))
                {
                    values.AsSpan(r * columns, columns).Clear();
                    again = true;
                }
            }

            if (again)
            {
                format.EncodeRows(values, count, parts);
            }

            float[] decoded = new float[values.Length];
            format.DecodeRows([.. parts.Select(part => (ReadOnlyMemory<byte>)part)], count, decoded);
            for (int i = 0; i < values.Length; i++)
            {
                double error = (double)values[i] - decoded[i];
                errors[t] += error * error;
                squares[t] += (double)values[i] * values[i];
            }
        });
        relativeError = squares.Sum() > 0 ? Math.Sqrt(errors.Sum() / squares.Sum()) : 0;
        ImmutableArray<EncodedStream> encoded = [.. format.Streams.Select((layout, s) => new EncodedStream(layout.Role, context.Keep(streams[s])))];
        return weight with { Encoding = Wrap(unit, weight, new DenseEncoding(format.Spec, source.Shape, encoded) { Original = source }) };
    }

    private static bool Fits(float bias, float inputScale, float weightScale) => Math.Abs((double)bias) <= LargestBias * ((double)inputScale * weightScale);

    private static UnitSpec Spec(string search) => new("int8", ("block", "row"), ("scale", "f32"), ("symmetric", "true"), ("search", search));

    private static int ScaleStream(IBoundNumberFormat format) => Enumerable.Range(0, format.Streams.Count).First(i => format.Streams[i].Role == "scales");

    private static IEnumerable<float> Scales(DenseEncoding stored)
    {
        TensorData scales = stored.Streams.First(s => s.Role == "scales").Data;
        byte[] bytes = scales.ToArray();
        return stored.Format.Text("scale", "f32") switch
        {
            "f16" => MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(h => (float)h),
            "bf16" => MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(b => BitConverter.UInt32BitsToSingle((uint)b << 16)),
            _ => MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
        };
    }

    /// <summary>The dense node when the weight is stored as int8 rows along its outputs already.</summary>
    private static DenseEncoding? Stored(QuantizableUnit unit, Tensor weight)
    {
        string? structure = unit.Node.Is("Conv") ? "reshaped" : IsTransposed(unit) ? "permuted" : null;
        DenseEncoding? dense = (structure, weight.Encoding) switch
        {
            (null, DenseEncoding d) => d,
            (not null, StructuredEncoding { Components: [DenseEncoding d] } s) when s.Structure.Id == structure => d,
            _ => null,
        };
        return dense is { Format.Id: "int8" } && dense.Format.Text("block", "32") is "row" or "0" && dense.Format.Flag("symmetric", true) && dense.Format.Text("layout", "packed") == "packed" ? dense : null;
    }

    /// <summary>True when outputs lie along the last axis of the weight.</summary>
    private static bool IsTransposed(QuantizableUnit unit) => unit.Node.Is("MatMul") || (unit.Node.Is("Gemm") && unit.Node.Int("transB", 0) == 0);

    private static WeightEncoding Component(QuantizableUnit unit, Tensor weight) =>
        unit.Node.Is("Conv") ? Structured.Reshape(weight.Encoding, new Shape(weight.Shape[0], weight.Shape.ElementCount / weight.Shape[0]))
        : IsTransposed(unit) ? Structured.Transpose(weight.Encoding)
        : weight.Encoding;

    private static WeightEncoding Wrap(QuantizableUnit unit, Tensor weight, WeightEncoding component) =>
        unit.Node.Is("Conv") ? Structured.Reshape(component, weight.Shape)
        : IsTransposed(unit) ? Structured.Transpose(component)
        : component;
}
