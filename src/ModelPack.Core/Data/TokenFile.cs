using System.Runtime.InteropServices;

namespace ModelPack;

/// <summary>A file of token ids for evaluation and calibration: 16-bit unsigned little-endian integers, nothing else. Lazy.</summary>
public sealed class TokenFile : IDisposable
{
    private readonly MappedFile _file;

    private TokenFile(MappedFile file) => _file = file;

    /// <summary>Number of token ids.</summary>
    public long Count => _file.LengthBytes / sizeof(ushort);

    /// <summary>Opens a token file.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002, MP1070: the length is odd.</exception>
    public static TokenFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        if (file.LengthBytes % sizeof(ushort) == 0)
        {
            return new TokenFile(file);
        }

        file.Dispose();
        throw new ModelPackException(ErrorCodes.TokenFileLength, $"{file.LengthBytes} bytes are not whole 16-bit token ids", path);
    }

    /// <summary>Reads ids [<paramref name="first"/>, <paramref name="first"/> + length of <paramref name="ids"/>).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the file.</exception>
    /// <exception cref="ModelPackException">MP1003: the file became shorter meanwhile.</exception>
    public void Read(long first, Span<ushort> ids)
    {
        if (first < 0 || ids.Length > Count - first)
        {
            throw new ArgumentOutOfRangeException(nameof(first), $"ids {first}..{first + ids.Length} are not among {Count}");
        }

        _file.Read(first * sizeof(ushort), MemoryMarshal.AsBytes(ids));
        if (!BitConverter.IsLittleEndian)
        {
            System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(ids, ids);
        }
    }

    public void Dispose() => _file.Dispose();
}
