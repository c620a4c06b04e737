using System.Buffers.Binary;
using System.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Data;

public sealed class NpyFileTests
{
    private const string Good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";

    /// <summary>What numpy 2 writes for <c>np.save(f, np.array([[1, 2, 3]], np.int16))</c>.</summary>
    [Fact]
    public void Write_gives_the_bytes_numpy_writes()
    {
        using var folder = new TempFolder();
        byte[] data = [1, 0, 2, 0, 3, 0];
        NpyFile.Write(folder["new/x.npy"], DType.I16, new Shape(1, 3), TensorData.FromBytes(data));
        string text = "{'descr': '<i2', 'fortran_order': False, 'shape': (1, 3), }";
        byte[] expected = [0x93, .. "NUMPY"u8, 1, 0, 118, 0, .. Encoding.ASCII.GetBytes(text.PadRight(117)), (byte)'\n', .. data];
        Assert.Equal(expected, File.ReadAllBytes(folder["new/x.npy"]));
    }

    [Theory]
    [InlineData(DType.Bool)]
    [InlineData(DType.I8)]
    [InlineData(DType.I16)]
    [InlineData(DType.I32)]
    [InlineData(DType.I64)]
    [InlineData(DType.U8)]
    [InlineData(DType.U16)]
    [InlineData(DType.U32)]
    [InlineData(DType.U64)]
    [InlineData(DType.F16)]
    [InlineData(DType.F32)]
    [InlineData(DType.F64)]
    [InlineData(DType.C64)]
    [InlineData(DType.C128)]
    public void Open_reads_what_Write_wrote(DType dtype)
    {
        using var folder = new TempFolder();
        foreach (Shape shape in (Shape[])[Shape.Scalar, new(0), new(5), new(2, 0, 3), new(2, 3, 4), new(1, 1, 1, 1, 1, 1, 1)])
        {
            byte[] data = new byte[dtype.StorageBytes(shape.ElementCount)];
            new SplitMix(1).Fill(data);
            NpyFile.Write(folder["x.npy"], dtype, shape, TensorData.FromBytes(data));
            using NpyFile npy = NpyFile.Open(folder["x.npy"]);
            Assert.Equal(dtype, npy.DType);
            Assert.Equal(shape, npy.Shape);
            Assert.Equal(data, npy.Data.ToArray());
            Assert.Equal(0, (new FileInfo(folder["x.npy"]).Length - data.Length) % 64);
        }
    }

    [Theory]
    [InlineData(1, Good)]
    [InlineData(2, Good)]
    [InlineData(3, Good)]
    [InlineData(1, "{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<f4\"}   \n")]
    [InlineData(1, " { 'shape' : ( 2 , ) , 'descr' : '<f4' , 'fortran_order' : False } ")]
    public void Open_accepts_every_version_and_spelling(byte version, string header)
    {
        using var folder = new TempFolder();
        using NpyFile npy = NpyFile.Open(folder.Write("x.npy", Npy(header, 8, version)));
        Assert.Equal(DType.F32, npy.DType);
        Assert.Equal(new Shape(2), npy.Shape);
        Assert.Equal(8, npy.Data.LengthBytes);
    }

    [Theory]
    [InlineData("<b1", DType.Bool)]
    [InlineData("<i1", DType.I8)]
    [InlineData("<u1", DType.U8)]
    public void Open_accepts_either_mark_of_one_byte_types(string descr, DType dtype)
    {
        using var folder = new TempFolder();
        using NpyFile npy = NpyFile.Open(folder.Write("x.npy", Npy(Good.Replace("<f4", descr, StringComparison.Ordinal), 2)));
        Assert.Equal(dtype, npy.DType);
    }

    [Fact]
    public void NpyMagic_other_files()
    {
        Rejects(ErrorCodes.NpyMagic, []);
        Rejects(ErrorCodes.NpyMagic, "PK\u0003\u0004 an npz is a zip"u8.ToArray());
    }

    [Fact]
    public void FileTruncated_at_every_length()
    {
        byte[] file = Npy(Good, 8);
        for (int length = 6; length < file.Length; length++)
        {
            Rejects(ErrorCodes.FileTruncated, file[..length]);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(255)]
    public void NpyVersion_unknown(byte version) => Rejects(ErrorCodes.NpyVersion, Npy(Good, 8, version));

    [Fact]
    public void NpyHeaderTooLarge_hostile_length()
    {
        byte[] file = Npy(Good, 8, 2);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(8), uint.MaxValue);
        Rejects(ErrorCodes.NpyHeaderTooLarge, file);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, }")]
    [InlineData("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': [2], }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (2,), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1, }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,), }")]
    [InlineData("{'descr': '<f4, 'fortran_order': False, 'shape': (2,), }")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } __import__('os')")]
    [InlineData("{'descr': '<f\\x34', 'fortran_order': False, 'shape': (2,), }")]
    public void NpyHeader_malformed(string header) => Rejects(ErrorCodes.NpyHeader, Npy(header, 8));

    [Fact]
    public void NpyFortranOrder_column_major() => Rejects(ErrorCodes.NpyFortranOrder, Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }", 8));

    [Fact]
    public void NpyBigEndian_numbers() => Rejects(ErrorCodes.NpyBigEndian, Npy(Good.Replace('<', '>'), 8));

    [Theory]
    [InlineData("'|O'")]
    [InlineData("'<U7'")]
    [InlineData("'|S3'")]
    [InlineData("'<M8[ns]'")]
    [InlineData("'<f16'")]
    [InlineData("'f4'")]
    [InlineData("'|f4'")]
    [InlineData("[('x', '<i4'), ('y', '<f8')]")]
    public void NpyDType_not_a_plain_number(string descr) => Rejects(ErrorCodes.NpyDType, Npy(Good.Replace("'<f4'", descr, StringComparison.Ordinal), 8));

    [Theory]
    [InlineData("(4294967296, 4294967296)")]
    [InlineData("(4611686018427387904,)")]
    [InlineData("(2305843009213693951,)")]
    public void NpyShape_overflow(string shape) => Rejects(ErrorCodes.NpyShape, Npy(Good.Replace("(2,)", shape, StringComparison.Ordinal), 8));

    [Fact]
    public void NpyTrailingBytes_after_the_array() => Rejects(ErrorCodes.NpyTrailingBytes, Npy(Good, 9));

    [Theory]
    [InlineData(DType.BF16)]
    [InlineData(DType.F8E4M3FN)]
    [InlineData(DType.I4)]
    [InlineData(DType.String)]
    public void NpyCannotHold_on_write(DType dtype)
    {
        using var folder = new TempFolder();
        Assert.False(NpyFile.CanHold(dtype));
        var e = Assert.Throws<ModelPackException>(() => NpyFile.Write(folder["x.npy"], dtype, new Shape(0), TensorData.Empty));
        Assert.Equal(ErrorCodes.NpyCannotHold, e.Code);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Open_damaged_file_is_an_error_or_a_consistent_array()
    {
        using var folder = new TempFolder();
        byte[] original = Npy(Good.PadRight(100), 8);
        FuzzReport report = Fuzzer.Fuzz(original, 3000, hotBytes: 70, action: bytes =>
        {
            using NpyFile npy = NpyFile.Open(folder.Write("x.npy", bytes));
            if (npy.Data.LengthBytes != npy.DType.StorageBytes(npy.Shape.ElementCount))
            {
                throw new InvalidOperationException("inconsistent array accepted");
            }
        });
        Assert.True(report.Accepted > 10 && report.Rejected.Count > 6);
    }

    [Fact]
    public void TokenFile_reads_little_endian_ids()
    {
        using var folder = new TempFolder();
        using TokenFile tokens = TokenFile.Open(folder.Write("t.bin", [1, 0, 0xFF, 0xFF, 0x34, 0x12]));
        Assert.Equal(3, tokens.Count);
        ushort[] ids = new ushort[2];
        tokens.Read(1, ids);
        Assert.Equal([0xFFFF, 0x1234], ids);
        Assert.Throws<ArgumentOutOfRangeException>(() => tokens.Read(2, ids));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokens.Read(-1, ids));
    }

    [Fact]
    public void TokenFileLength_odd()
    {
        using var folder = new TempFolder();
        var e = Assert.Throws<ModelPackException>(() => TokenFile.Open(folder.Write("t.bin", [1, 0, 2])));
        Assert.Equal(ErrorCodes.TokenFileLength, e.Code);
    }

    private static void Rejects(ErrorCode code, byte[] file)
    {
        using var folder = new TempFolder();
        string path = folder.Write("bad.npy", file);
        var e = Assert.Throws<ModelPackException>(() => NpyFile.Open(path));
        Assert.Equal(code, e.Code);
        Assert.Equal(path, e.Path);
    }

    private static byte[] Npy(string header, int dataBytes, byte version = 1)
    {
        byte[] text = Encoding.Latin1.GetBytes(header);
        byte[] length = version == 1 ? new byte[2] : new byte[4];
        length[0] = (byte)text.Length;
        return [0x93, .. "NUMPY"u8, version, 0, .. length, .. text, .. new byte[dataBytes]];
    }
}
