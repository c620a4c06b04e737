using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Runtime.Evaluation;

/// <summary>Inputs for evaluation: .npy files, or seeded noise.</summary>
public static class SampleInputs
{
    /// <summary>
    /// Reads a folder of .npy files named after the inputs (one sample), or of subfolders of that form (one sample each, in ordinal order of
    /// their names).
    /// </summary>
    /// <exception cref="ModelPackException">MP1001: no such folder; MP5022: a file is missing or superfluous; MP106x: a file is malformed.</exception>
    public static IEnumerable<IReadOnlyList<NamedTensor>> FromFolder(ModelSession session, string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such folder", folder);
        }

        string[] samples = [.. Directory.GetDirectories(folder).Order(StringComparer.Ordinal)];
        foreach (string sample in samples.Length > 0 ? samples : [folder])
        {
            yield return [.. session.Inputs.Select(input => FromFile(input.Name, Path.Combine(sample, FileName(input.Name))))];
        }
    }

    /// <summary>Reads one input from a .npy file.</summary>
    /// <exception cref="ModelPackException">MP5022: no such file; MP106x: it is malformed.</exception>
    public static NamedTensor FromFile(string input, string path)
    {
        if (!File.Exists(path))
        {
            throw new ModelPackException(ErrorCodes.BadSample, $"no file for input '{input}'", path);
        }

        using NpyFile file = NpyFile.Open(path);
        return NamedTensor.OfBytes(input, file.DType, file.Shape, file.Data.ToArray(int.MaxValue - 1024));
    }

    /// <summary>A file name for an input or output: characters that file systems refuse become <c>_</c>.</summary>
    public static string FileName(string name) => string.Concat(name.Select(c => char.IsLetterOrDigit(c) || c is '-' or '.' or '_' ? c : '_')) + ".npy";

    /// <summary>Seeded values for every input; see the other overload.</summary>
    /// <exception cref="ModelPackException">MP5022: as there.</exception>
    public static IReadOnlyList<NamedTensor> Random(ModelSession session) => [.. session.Inputs.Select((input, i) => Random(input, (ulong)i))];

    /// <summary>Seeded values for every input, of sizes of choice.</summary>
    /// <param name="session">The model.</param>
    /// <param name="sizes">Of free dimensions by symbol or <c>input[axis]</c>, and values of inputs that are one integer by name. Dimensions that are not given become 1.</param>
    /// <exception cref="ModelPackException">MP3004: a size that no input leaves open; MP5022: as the other overload.</exception>
    public static IReadOnlyList<NamedTensor> Random(ModelSession session, IReadOnlyDictionary<string, long> sizes)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(sizes);
        CheckSizes(session, sizes);
        return [.. session.Inputs.Select((input, i) => Random(input, (ulong)i, sizes))];
    }

    /// <summary>Whether a model leaves sizes open.</summary>
    /// <exception cref="ModelPackException">MP3004: it does not leave one.</exception>
    internal static void CheckSizes(ModelSession session, IReadOnlyDictionary<string, long> sizes)
    {
        string[] free = [.. session.Inputs.SelectMany(FreeSizes).Distinct(StringComparer.Ordinal)];
        foreach ((string name, long size) in sizes)
        {
            if (size < 0 || !free.Contains(name, StringComparer.Ordinal))
            {
                string has = free.Length == 0 ? "all sizes of its inputs are fixed" : $"its inputs leave open {string.Join(", ", free)}";
                throw new ModelPackException(ErrorCodes.NoFreeSize, size < 0 ? $"'{name}' cannot be {size}" : $"the model has no size '{name}': {has}", session.Path);
            }
        }
    }

    /// <summary>What a sample gives everything that inputs leave open, named as in <see cref="Random(ModelSession, IReadOnlyDictionary{string, long})"/>.</summary>
    internal static IReadOnlyDictionary<string, long> Sizes(ModelSession session, IReadOnlyList<NamedTensor> sample)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach ((ModelValue input, NamedTensor tensor) in session.Inputs.Zip(sample))
        {
            if (IsInteger(input))
            {
                sizes.TryAdd(input.Name, input.DType == DType.I64 ? BinaryPrimitives.ReadInt64LittleEndian(tensor.Bytes) : BinaryPrimitives.ReadInt32LittleEndian(tensor.Bytes));
            }

            for (int axis = 0; axis < input.Dims.Length; axis++)
            {
                if (input.Dims[axis].Size is null)
                {
                    sizes.TryAdd(Name(input, axis), tensor.Shape[axis]);
                }
            }
        }

        return sizes;
    }

    /// <summary>Seeded values for an input: floats uniform in -1..1, integers 0 or 1, booleans true. Free dimensions become 1.</summary>
    /// <exception cref="ModelPackException">MP5022: the input is not a tensor of a type that can be made up.</exception>
    public static NamedTensor Random(ModelValue input, ulong seed) => Random(input, seed, ImmutableDictionary<string, long>.Empty);

    private static IEnumerable<string> FreeSizes(ModelValue input) =>
        IsInteger(input) ? [input.Name] : Enumerable.Range(0, input.Dims.Length).Where(axis => input.Dims[axis].Size is null).Select(axis => Name(input, axis));

    /// <summary>A position, a rate, a count.</summary>
    private static bool IsInteger(ModelValue input) => input.DType is DType.I64 or DType.I32 && input.Dims.All(d => d.Size == 1);

    private static string Name(ModelValue input, int axis) => input.Dims[axis].Symbol is { Length: > 0 } symbol ? symbol : string.Create(CultureInfo.InvariantCulture, $"{input.Name}[{axis}]");

    private static NamedTensor Random(ModelValue input, ulong seed, IReadOnlyDictionary<string, long> sizes)
    {
        if (!input.IsTensor || !input.DType.HasFixedWidth())
        {
            throw new ModelPackException(ErrorCodes.BadSample, $"random values cannot be made for input '{input}'");
        }

        long[] dims = [.. input.Dims.Select((d, axis) => d.Size ?? sizes.GetValueOrDefault(Name(input, axis), 1))];
        var shape = new Shape(dims);
        if (!shape.TryElementCount(out long count) || count > Array.MaxLength / 8)
        {
            throw new ModelPackException(ErrorCodes.BadSample, $"random values for input '{input}' with shape {shape} would take too much memory");
        }

        var random = new SplitMix64(seed);
        byte[] bytes = new byte[input.DType.StorageBytes(shape.ElementCount)];
        if (IsInteger(input) && sizes.TryGetValue(input.Name, out long given))
        {
            if (input.DType == DType.I64)
            {
                BinaryPrimitives.WriteInt64LittleEndian(bytes, given);
            }
            else
            {
                BinaryPrimitives.WriteInt32LittleEndian(bytes, (int)Math.Min(given, int.MaxValue));
            }

            return NamedTensor.OfBytes(input.Name, input.DType, shape, bytes);
        }

        for (long i = 0; i < shape.ElementCount; i++)
        {
            ulong bits = random.Next();
            float unit = ((bits >> 40) * (2f / (1 << 24))) - 1;
            Span<byte> at = bytes.AsSpan((int)(i * input.DType.BitsPerElement() / 8));
            switch (input.DType)
            {
                case DType.F32:
                    BitConverter.TryWriteBytes(at, unit);
                    break;
                case DType.F64:
                    BitConverter.TryWriteBytes(at, (double)unit);
                    break;
                case DType.F16:
                    BitConverter.TryWriteBytes(at, (Half)unit);
                    break;
                case DType.BF16:
                    BitConverter.TryWriteBytes(at, (ushort)(BitConverter.SingleToUInt32Bits(unit) >> 16));
                    break;
                default:
                    at[0] = input.DType == DType.Bool ? (byte)1 : (byte)(bits & 1);
                    break;
            }
        }

        return NamedTensor.OfBytes(input.Name, input.DType, shape, bytes);
    }
}
