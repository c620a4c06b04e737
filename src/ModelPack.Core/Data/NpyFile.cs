using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace ModelPack;

/// <summary>
/// A NumPy .npy file (format versions 1.0, 2.0 and 3.0): one array of plain little-endian numbers in row-major order. Lazy: opening reads
/// the header only.
/// </summary>
/// <remarks>Source: numpy, <c>numpy.lib.format</c>. Structured, object, text, date, big-endian and column-major arrays are errors, not guesses.</remarks>
public sealed class NpyFile : IDisposable
{
    /// <summary>NumPy itself refuses headers over 10,000 bytes unless told otherwise; an array of plain numbers needs 200.</summary>
    private const int MaxHeaderBytes = 10_000;

    private const int AlignmentBytes = 64;

    /// <summary>NumPy leaves room for the first axis to grow to this many digits.</summary>
    private const int GrowthDigits = 21;

    private static readonly byte[] Magic = [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    private static readonly (string Descr, DType DType)[] DTypeTable =
    [
        ("|b1", DType.Bool), ("|i1", DType.I8), ("<i2", DType.I16), ("<i4", DType.I32), ("<i8", DType.I64),
        ("|u1", DType.U8), ("<u2", DType.U16), ("<u4", DType.U32), ("<u8", DType.U64),
        ("<f2", DType.F16), ("<f4", DType.F32), ("<f8", DType.F64), ("<c8", DType.C64), ("<c16", DType.C128),
    ];

    private readonly MappedFile _file;

    private NpyFile(MappedFile file, DType dtype, Shape shape, TensorData data)
    {
        _file = file;
        DType = dtype;
        Shape = shape;
        Data = data;
    }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>Shape; rank 0 for a scalar.</summary>
    public Shape Shape { get; }

    /// <summary>The elements, little-endian and row-major; valid until <see cref="Dispose"/>.</summary>
    public TensorData Data { get; }

    /// <summary>Opens a file and checks that its length is exactly what the header announces.</summary>
    /// <exception cref="ModelPackException">MP1001-MP1003, MP1060-MP1068, with the path.</exception>
    public static NpyFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return Parse(file);
        }
        catch (ModelPackException e)
        {
            file.Dispose();
            throw e.WithPath(path);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Writes an array the way NumPy does (version 1.0); the file appears whole or not at all.</summary>
    /// <param name="path">The file; its folder is made when missing.</param>
    /// <param name="dtype">Element type.</param>
    /// <param name="shape">Shape.</param>
    /// <param name="data">Dense row-major bytes of exactly that many elements.</param>
    /// <param name="cancellation">Stops the writing; nothing is left behind.</param>
    /// <exception cref="ModelPackException">MP1069 for a dtype NumPy does not have (bf16, fp8, sub-byte types, strings), MP1005 when the file cannot be written.</exception>
    /// <exception cref="ArgumentException"><paramref name="data"/> has another length.</exception>
    public static void Write(string path, DType dtype, Shape shape, TensorData data, CancellationToken cancellation = default)
    {
        byte[] header = Header(path, dtype, shape);
        if (!shape.TryElementCount(out long elements) || !dtype.TryStorageBytes(elements, out long bytes) || bytes != data.LengthBytes)
        {
            throw new ArgumentException($"{data.LengthBytes} bytes are not {dtype.Name()}{shape}", nameof(data));
        }

        using var files = new AtomicFiles();
        files.AddFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        files.Add(path, stream =>
        {
            stream.Write(header);
            byte[] tile = ArrayPool<byte>.Shared.Rent((int)Math.Min(1 << 20, Math.Max(1, bytes)));
            try
            {
                for (long offset = 0; offset < bytes; offset += tile.Length)
                {
                    cancellation.ThrowIfCancellationRequested();
                    Span<byte> part = tile.AsSpan(0, (int)Math.Min(tile.Length, bytes - offset));
                    data.Read(offset, part);
                    stream.Write(part);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(tile);
            }
        });
        files.Commit();
    }

    /// <summary>True when .npy has an equivalent of <paramref name="dtype"/>.</summary>
    public static bool CanHold(DType dtype) => Array.Exists(DTypeTable, row => row.DType == dtype);

    public void Dispose() => _file.Dispose();

    private static NpyFile Parse(MappedFile file)
    {
        Span<byte> prefix = stackalloc byte[12];
        prefix = prefix[..(int)Math.Min(prefix.Length, file.LengthBytes)];
        file.Read(0, prefix);
        if (!prefix.StartsWith(Magic))
        {
            throw new ModelPackException(ErrorCodes.NpyMagic, "does not start like a .npy file", offsetBytes: 0);
        }

        if (prefix.Length < 10)
        {
            throw new ModelPackException(ErrorCodes.FileTruncated, "ends inside the .npy header");
        }

        (byte major, byte minor) = (prefix[6], prefix[7]);
        if (major is < 1 or > 3 || minor != 0)
        {
            throw new ModelPackException(ErrorCodes.NpyVersion, $"format version {major}.{minor} is not one of 1.0, 2.0, 3.0", offsetBytes: 6);
        }

        int start = major == 1 ? 10 : 12;
        if (prefix.Length < start)
        {
            throw new ModelPackException(ErrorCodes.FileTruncated, "ends inside the .npy header");
        }

        uint headerBytes = major == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(prefix[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(prefix[8..]);
        if (headerBytes > MaxHeaderBytes)
        {
            throw new ModelPackException(ErrorCodes.NpyHeaderTooLarge, $"a header of {headerBytes} bytes is over the limit of {MaxHeaderBytes}", offsetBytes: 8);
        }

        if (headerBytes > file.LengthBytes - start)
        {
            throw new ModelPackException(ErrorCodes.FileTruncated, $"ends inside the .npy header of {headerBytes} bytes");
        }

        byte[] text = new byte[headerBytes];
        file.Read(start, text);
        NpyHeader header = NpyHeader.Parse(Encoding.Latin1.GetString(text), start);
        return Bind(file, header, start + headerBytes);
    }

    private static NpyFile Bind(MappedFile file, NpyHeader header, long dataStart)
    {
        DType dtype = ParseDType(header.Descr);
        if (header.FortranOrder)
        {
            throw new ModelPackException(ErrorCodes.NpyFortranOrder, "the array is in column-major (Fortran) order; save it with numpy.ascontiguousarray");
        }

        if (!header.Shape.TryElementCount(out long elements) || !dtype.TryStorageBytes(elements, out long bytes) || bytes > long.MaxValue - dataStart)
        {
            throw new ModelPackException(ErrorCodes.NpyShape, $"{dtype.Name()}{header.Shape} has more elements or bytes than fit in 63 bits");
        }

        long available = file.LengthBytes - dataStart;
        if (available < bytes)
        {
            throw new ModelPackException(ErrorCodes.FileTruncated, $"{dtype.Name()}{header.Shape} needs {bytes} bytes but has {available}", offsetBytes: dataStart);
        }

        return available == bytes
            ? new NpyFile(file, dtype, header.Shape, file.Region(dataStart, bytes))
            : throw new ModelPackException(ErrorCodes.NpyTrailingBytes, $"{available - bytes} bytes follow the array", offsetBytes: dataStart + bytes);
    }

    private static DType ParseDType(string descr)
    {
        if (descr.StartsWith('>'))
        {
            throw new ModelPackException(ErrorCodes.NpyBigEndian, $"element type '{descr}' is big-endian; save it with little-endian numbers");
        }

        foreach ((string known, DType dtype) in DTypeTable)
        {
            // One-byte types have no byte order: both marks are written for them.
            if (descr == known || (known[0] == '|' && descr.Length == known.Length && descr[0] == '<' && descr.AsSpan(1).SequenceEqual(known.AsSpan(1))))
            {
                return dtype;
            }
        }

        throw new ModelPackException(ErrorCodes.NpyDType, $"element type '{descr}' is not a plain little-endian number");
    }

    private static byte[] Header(string path, DType dtype, Shape shape)
    {
        int row = Array.FindIndex(DTypeTable, r => r.DType == dtype);
        if (row < 0)
        {
            throw new ModelPackException(ErrorCodes.NpyCannotHold, $".npy has no element type for {dtype.Name()}", path);
        }

        string dims = string.Join(", ", shape.Dims.Select(d => d.ToString(CultureInfo.InvariantCulture)));
        string text = $"{{'descr': '{DTypeTable[row].Descr}', 'fortran_order': False, 'shape': ({dims}{(shape.Rank == 1 ? "," : "")}), }}";
        if (shape.Rank > 0)
        {
            text += new string(' ', Math.Max(0, GrowthDigits - shape[0].ToString(CultureInfo.InvariantCulture).Length));
        }

        int used = Magic.Length + 4 + text.Length + 1;
        text += new string(' ', AlignmentBytes - (used % AlignmentBytes)) + '\n';
        if (text.Length > MaxHeaderBytes)
        {
            throw new ModelPackException(ErrorCodes.NpyHeaderTooLarge, $"{shape.Rank} dimensions make a header of {text.Length} bytes, over the limit of {MaxHeaderBytes}", path);
        }

        byte[] header = new byte[Magic.Length + 4 + text.Length];
        Magic.CopyTo(header, 0);
        header[6] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), (ushort)text.Length);
        Encoding.ASCII.GetBytes(text, header.AsSpan(10));
        return header;
    }
}
