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

    /// <summary>Seeded values for an input: floats uniform in -1..1, integers 0 or 1, booleans true. Free dimensions become 1.</summary>
    /// <exception cref="ModelPackException">MP5022: the input is not a tensor of a type that can be made up.</exception>
    public static NamedTensor Random(ModelValue input, ulong seed)
    {
        if (!input.IsTensor || !input.DType.HasFixedWidth())
        {
            throw new ModelPackException(ErrorCodes.BadSample, $"random values cannot be made for input '{input}'");
        }

        long[] dims = [.. input.Dims.Select(d => d.Size ?? 1)];
        var shape = new Shape(dims);
        var random = new SplitMix64(seed);
        byte[] bytes = new byte[input.DType.StorageBytes(shape.ElementCount)];
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
