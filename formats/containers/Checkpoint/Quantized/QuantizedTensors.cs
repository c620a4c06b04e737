using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>The tensors of a quantised checkpoint while codes and scales are joined to weights.</summary>
/// <param name="tensors">As the files have them.</param>
/// <param name="path">The folder, for messages.</param>
internal sealed class QuantizedTensors(ImmutableArray<Tensor> tensors, string path)
{
    private readonly Dictionary<string, Tensor> _byName = tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> _made = new(StringComparer.Ordinal);
    private readonly HashSet<string> _joined = new(StringComparer.Ordinal);

    /// <summary>All tensors, in the order of the checkpoint.</summary>
    public ImmutableArray<Tensor> All => tensors;

    public Tensor? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>A tensor that must be there.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="why">What needs it.</param>
    public Tensor Need(string name, string why) => Find(name) ?? throw new ModelPackException(ErrorCodes.QuantizedWeight, $"is missing; {why} needs it", path, name);

    /// <summary>The bytes of a tensor that must have a type and shape.</summary>
    public TensorData Data(Tensor tensor, DType dtype, Shape shape) =>
        tensor.DType == dtype && tensor.Shape == shape && tensor.TryGetRawData(out TensorData data) ? data : throw Misfit(tensor, $"{dtype.Name()}{shape}");

    /// <summary>The bytes of scales: f32, f16 or bf16, of a shape.</summary>
    public TensorData Scales(Tensor tensor, Shape shape) =>
        tensor.DType is DType.F32 or DType.F16 or DType.BF16 && tensor.Shape == shape && tensor.TryGetRawData(out TensorData data) ? data : throw Misfit(tensor, $"f32, f16 or bf16 {shape}");

    /// <summary>The only number of a tensor of one float.</summary>
    public float Number(Tensor tensor)
    {
        if (tensor.DType is not (DType.F32 or DType.F16 or DType.BF16) || tensor.Shape.ElementCount != 1 || !tensor.TryGetRawData(out TensorData data))
        {
            throw Misfit(tensor, "one float");
        }

        float value = CodeData.Float(data.ToArray(), tensor.DType);
        return value > 0 && float.IsFinite(value) ? value : throw Wrong(tensor, string.Create(CultureInfo.InvariantCulture, $"is {value:R}; a scale is positive and finite"));
    }

    /// <summary>Puts a weight in the place of the first of the tensors it was made of.</summary>
    public void Join(Tensor weight, params IEnumerable<Tensor?> parts)
    {
        bool first = true;
        foreach (Tensor part in parts.OfType<Tensor>())
        {
            _joined.Add(part.Name);
            if (first)
            {
                _made.Add(part.Name, weight);
                first = false;
            }
        }

        if (_byName.TryGetValue(weight.Name, out Tensor? other) && !_joined.Contains(other.Name))
        {
            throw Wrong(other, "is there beside its own codes and scales");
        }
    }

    /// <summary>The tensors with weights in the place of their parts.</summary>
    /// <param name="isPart">Names that only a part of a weight may have: one that is left is an error.</param>
    public ImmutableArray<Tensor> Result(Func<string, bool> isPart)
    {
        if (tensors.FirstOrDefault(t => !_joined.Contains(t.Name) && isPart(t.Name)) is Tensor lost)
        {
            throw Wrong(lost, "belongs to no quantised weight");
        }

        return [.. tensors.Where(t => !_joined.Contains(t.Name) || _made.ContainsKey(t.Name)).Select(t => _made.GetValueOrDefault(t.Name, t))];
    }

    public ModelPackException Misfit(Tensor tensor, string expected) => Wrong(tensor, $"is {tensor.DType.Name()}{tensor.Shape}, not {expected}");

    public ModelPackException Wrong(Tensor tensor, string message) => new(ErrorCodes.QuantizedWeight, message, path, tensor.Name);

    /// <summary>A weight in a format of ours.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="dtype">What it counts as in a graph.</param>
    /// <param name="shape">[out, in].</param>
    /// <param name="format">With all arguments.</param>
    /// <param name="streams">As the format orders them.</param>
    public static Tensor Weight(string name, DType dtype, Shape shape, UnitSpec format, params ReadOnlySpan<EncodedStream> streams) =>
        new() { Name = name, DType = dtype, Shape = shape, Encoding = new DenseEncoding(format, shape, [.. streams]) };

    /// <summary>A weight of integers with a scale, and perhaps a zero code, per group of inputs; values where groups are none of our blocks.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="integers">The parts.</param>
    public static Tensor Integers(string name, in IntegerParts integers)
    {
        int columns = checked((int)integers.Shape[1]);
        bool rows = integers.Group == columns;
        bool blocks = integers.Order is null && (rows || (integers.Group % 16 == 0 && integers.Group is >= 16 and <= 65536 && columns % integers.Group == 0));
        if (!blocks)
        {
            int group = integers.Group;
            int[] order = integers.Order ?? [.. Enumerable.Range(0, columns).Select(k => k / group)];
            var data = new DequantizedData(integers.Shape, integers.Bits, integers.Codes, integers.Scales, integers.ScaleType, integers.Zeros, order, integers.GroupCount);
            return Tensor.Raw(name, DType.F32, integers.Shape, data);
        }

        string scale = integers.ScaleType.Name();
        var format = new UnitSpec(
            string.Create(CultureInfo.InvariantCulture, $"int{integers.Bits}"),
            ("block", rows ? "row" : integers.Group.ToString(CultureInfo.InvariantCulture)),
            ("scale", scale),
            ("search", "none"),
            ("symmetric", integers.Zeros is null ? "true" : "false"));
        EncodedStream[] streams = [new("codes", integers.Codes), new("scales", integers.Scales), .. integers.Zeros is TensorData zeros ? [new EncodedStream("zero-points", zeros)] : (EncodedStream[])[]];
        return Weight(name, integers.ScaleType, integers.Shape, format, streams);
    }
}
