using System.Diagnostics;
using ModelPack.Codecs;
using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Testing;
using ModelPack.Tests.Codecs;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>The second reader, written from the specification alone, gives the same values.</summary>
public sealed class PythonReaderTests : IDisposable
{
    private static readonly Lazy<string?> Python = new(FindPython);
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void Read_everyTensor_givesTheSameValues(bool portable)
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        WeightEncoding source = DenseEncoding.Raw(DType.F32, new Shape(45, 70), TensorData.FromBytes(PackSamples.F32(1, 45 * 70)));
        string[] formats = ["int4(block=32)", "int4(block=16,scale=f16,symmetric=false)", "int8(block=64,scale=bf16)", "int8(block=row)", "int3(block=32)", "f16", "bf16"];
        PackTensorContent[] tensors =
        [
            .. formats.Select((f, i) => new PackTensorContent($"q{i}", DType.F32, source.Shape, DenseEncoding.Pending(UnitSpec.Parse(f), source))),
            new("transposed", DType.F32, new Shape(70, 45), Permuted.Transpose(DenseEncoding.Pending(UnitSpec.Parse("int4"), source))),
            PackSamples.Raw("zeros", DType.F32, new Shape(3, 1000), new byte[12_000]),
            PackSamples.Raw("ramp", DType.I32, new Shape(5000), [.. Enumerable.Range(0, 20_000).Select(i => (byte)(i % 50 == 0 ? i / 50 : 0))]),
            PackSamples.Raw("i4", DType.I4, new Shape(3, 5), PackSamples.Random(5, 8)),
            PackSamples.Raw("long", DType.BF16, new Shape(600_000), PackSamples.Bf16(3, 600_000)),
            .. new[] { 2, 3, 13, 200 }.Select(n => PackSamples.Raw($"palette{n}", DType.F32, new Shape(7001), [.. PackSamples.Random(n, 7001).SelectMany(b => BitConverter.GetBytes((b % n) * 0.37f))])),
            PackSamples.Raw("f32", DType.F32, new Shape(9001), PackSamples.F32(4, 9001)),
            .. new[] { DType.F16, DType.F32 }.Select(t => PackSamples.Raw($"widened {t}", t, new Shape(30_000), RansTests.Widened(t, 30_000))),
            PackSamples.Raw("scaled", DType.BF16, new Shape(300_000), Scaled(300_000)),
            PackSamples.Raw("codes", DType.I8, new Shape(250_000), [.. Scaled(250_000).Where((_, i) => i % 2 == 1)]),
            PackSamples.Raw("bytes", DType.I8, new Shape(300_001), [.. PackSamples.Random(6, 300_001).Select((b, i) => (byte)(i < 140_000 ? b & 0x33 : b & 0x8f))]),
        ];
        PackContent content = PackContent.Empty with { Tensors = [.. tensors], Blobs = [KeyValuePair.Create("recipe", TensorData.FromBytes(new byte[77]))] };
        PackWriter.Write(_folder["a.mpack"], content, new PackOptions { Portable = portable });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        var needsZstd = new List<string>();
        foreach (PackTensor tensor in reader.Tensors)
        {
            (int exit, string output) = Run("read", _folder["a.mpack"], tensor.Name, _folder["t.npy"]);
            if (exit != 0 && output.Contains("zstandard", StringComparison.Ordinal))
            {
                needsZstd.Add(tensor.Name);
                continue;
            }

            Assert.True(exit == 0, $"{tensor.Name}: {output}");
            Assert.Equal(Values(tensor.Encoding), ReadNpy(_folder["t.npy"]));
        }

        // Without a Zstandard module the reader says so; everything else must have been compared.
        Assert.True(needsZstd.Count < 6, string.Join(", ", needsZstd));
        Assert.All(["zeros", "long", "f32", "bytes", "palette2", "palette3", "palette13", "palette200"], name => Assert.DoesNotContain(name, needsZstd));
        Assert.Equal("planes-huffman", reader.Find("f32")!.Streams[0].Stream.Codec);
        Assert.All([2, 3, 13, 200], n => Assert.Equal("palette", reader.Find($"palette{n}")!.Streams[0].Stream.Codec));
        Assert.Equal(portable ? "huffman" : "codes-rans", reader.Find("bytes")!.Streams[0].Stream.Codec);
        Assert.Equal(portable ? "planes-huffman" : "planes-rans", reader.Find("scaled")!.Streams[0].Stream.Codec);
        Assert.Equal(portable ? "huffman" : "codes-rans", reader.Find("codes")!.Streams[0].Stream.Codec);
        (int listed, string list) = Run("list", _folder["a.mpack"]);
        Assert.Equal(0, listed);
        Assert.Contains("transposed\tf32\t[70, 45]\tpermuted(perm=1x0) > int4(", list, StringComparison.Ordinal);
        Assert.Contains("[recipe]\t77 bytes", list, StringComparison.Ordinal);
        Assert.Equal(0, Run("blob", _folder["a.mpack"], "recipe", _folder["b"]).Exit);
        Assert.Equal(new byte[77], File.ReadAllBytes(_folder["b"]));
    }

    [SkippableFact]
    public void RansDecode_everyLayout_givesTheSameBytes()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        var raws = new List<byte[]>();
        foreach ((string _, RansLayout layout) in RansTests.All)
        {
            foreach ((CodecLevel level, int elements) in new[] { (CodecLevel.Default, 1), (CodecLevel.Default, 130), (CodecLevel.Fast, 5003), (CodecLevel.Max, 40_001) })
            {
                byte[] raw = [.. RansTests.Elements(layout, elements, elements), .. new byte[Math.Max(0, layout.Width - 1)]];
                File.WriteAllBytes(_folder[$"{raws.Count}.chunk"], RansTests.Encode(layout, raw, level));
                raws.Add(raw);
            }
        }

        File.WriteAllBytes(_folder[$"{raws.Count}.chunk"], RansTests.Encode(RansTests.All.First(l => l.Name == "f32 joint").Layout, RansTests.UnevenMantissas(20_000), CodecLevel.Max));
        raws.Add(RansTests.UnevenMantissas(20_000));
        string program =
            "import sys; sys.path.insert(0, sys.argv[1]); import mpack_reader as m\n" +
            "for i, n in enumerate(sys.argv[3:]):\n" +
            "    data = open(f'{sys.argv[2]}/{i}.chunk', 'rb').read()\n" +
            "    open(f'{sys.argv[2]}/{i}.raw', 'wb').write((m.codes_rans_decode if data[0] < 2 else m.planes_rans_decode)(data, int(n)))\n";
        (int exit, string output) = Start(Python.Value!, ["-c", program, RepositoryTree.PathTo("samples", "python"), Path.GetDirectoryName(_folder["0.chunk"])!, .. raws.Select(r => $"{r.Length}")]);
        Assert.True(exit == 0, output);
        Assert.All(raws, (raw, i) => Assert.True(raw.AsSpan().SequenceEqual(File.ReadAllBytes(_folder[$"{i}.raw"])), $"chunk {i}"));
    }

    [SkippableFact]
    public void Read_sparseChunks_givesTheSameValues()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        var random = new Random(1);
        bool[] one = [.. Enumerable.Range(0, 2_000_000).Select(_ => random.Next(20) == 0)];
        float[] pruned = [.. PackSamples.Weights(1, 300_001).Select((v, i) => one[i] ? v : 0)];
        PackTensorContent[] tensors =
        [
            PackSamples.Raw("f32", DType.F32, new Shape(pruned.Length), System.Runtime.InteropServices.MemoryMarshal.AsBytes(pruned.AsSpan()).ToArray()),
            PackSamples.Raw("bf16", DType.BF16, new Shape(100_000), [.. PackSamples.Bf16(2, 100_000).Select((b, i) => one[i / 2] ? b : (byte)0)]),
            PackSamples.Raw("rare", DType.I32, new Shape(500_000), [.. Enumerable.Range(0, 2_000_000).Select(i => (byte)(i % 4 == 0 && one[i] && one[i / 2] ? 1 + (i % 63) : 0))]),
            PackSamples.Raw("bytes", DType.I8, new Shape(300_000), [.. PackSamples.Random(3, 300_000).Select((b, i) => one[i] ? b : (byte)0)]),
        ];
        PackWriter.Write(_folder["a.mpack"], PackContent.Empty with { Tensors = [.. tensors] }, new PackOptions { Portable = true });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        foreach (PackTensor tensor in reader.Tensors)
        {
            Assert.Equal("sparse", tensor.Streams[0].Stream.Codec);
            (int exit, string output) = Run("read", _folder["a.mpack"], tensor.Name, _folder["t.npy"]);
            Assert.True(exit == 0, $"{tensor.Name}: {output}");
            Assert.Equal(Values(tensor.Encoding), ReadNpy(_folder["t.npy"]));
        }
    }

    [SkippableFact]
    public void Read_sparseMatrices_givesTheSameValues()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        string[] specs = ["blocksparse(block=32x32)", "blocksparse(block=4x4)", "blocksparse(block=1x16)", "nm(m=4,n=2)", "nm(m=8,n=4)", "bankbalanced(bank=64,kept=8)", "bitmap"];
        PackTensorContent[] tensors =
        [
            .. specs.Select(spec => new PackTensorContent(spec, DType.F32, new Shape(330, 700), SparseMatrix.Of(
                UnitSpec.Parse(spec),
                DType.F32,
                new Shape(330, 700),
                TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(ModelPack.Tests.Structures.SparseMatrixTests.Masked(spec, 330, 700, density: 0.05).AsSpan()).ToArray())))),
        ];
        var blocks = (StructuredEncoding)tensors[0].Encoding;
        StructuredEncoding quantised = blocks with { Components = [blocks.Components[0], DenseEncoding.Pending(UnitSpec.Parse("int4(block=32)"), blocks.Components[1])] };
        tensors = [.. tensors, new("int4", DType.F32, quantised.Shape, quantised), new("reshaped", DType.F32, new Shape(330, 7, 100), new StructuredEncoding(new UnitSpec("reshaped"), new Shape(330, 7, 100), [blocks]))];
        PackWriter.Write(_folder["a.mpack"], PackContent.Empty with { Tensors = [.. tensors] }, new PackOptions { Portable = true });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        Assert.Equal("ranks", reader.Find("bankbalanced(bank=64,kept=8)")!.Streams[0].Stream.Codec);
        Assert.Equal("bits", reader.Find("bitmap")!.Streams[0].Stream.Codec);
        foreach (PackTensor tensor in reader.Tensors)
        {
            (int exit, string output) = Run("read", _folder["a.mpack"], tensor.Name, _folder["t.npy"]);
            Assert.True(exit == 0, $"{tensor.Name}: {output}");
            Assert.Equal(Values(tensor.Encoding), ReadNpy(_folder["t.npy"]));
        }
    }

    [SkippableFact]
    public void Read_factoredMatrices_givesTheSameValues()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        PackWriter.Write(_folder["a.mpack"], PackContent.Empty with { Tensors = [.. ModelPack.Tests.Structures.FactoredSamples.Tensors()] }, new PackOptions { Portable = true });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        foreach (PackTensor tensor in reader.Tensors)
        {
            (int exit, string output) = Run("read", _folder["a.mpack"], tensor.Name, _folder["t.npy"]);
            Assert.True(exit == 0, $"{tensor.Name}: {output}");
            Assert.Equal(Values(tensor.Encoding), ReadNpy(_folder["t.npy"]));
        }
    }

    [SkippableFact]
    public void Read_records_givesTheSameValues()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        byte[] blocks = [.. PackSamples.Random(1, 40_000 * 34).Select((b, i) => (byte)(i % 34 == 0 ? b : i % 34 == 1 ? 0x2c : b & 0x37))];
        PackTensorContent tensor = PackSamples.Raw("w", DType.U8, new Shape(blocks.Length), blocks) with { Records = ModelPack.Codecs.RecordsCodec.ScaleAnd32Codes };
        PackWriter.Write(_folder["a.mpack"], PackContent.Empty with { Tensors = [tensor] }, new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        Assert.Equal("records", reader.Find("w")!.Streams[0].Stream.Codec);
        (int exit, string output) = Run("read", _folder["a.mpack"], "w", _folder["t.npy"]);
        Assert.True(exit == 0, output);
        Assert.Equal(blocks.Select(b => (float)(sbyte)b), ReadNpy(_folder["t.npy"]));
    }

    [SkippableFact]
    public void Read_differences_needTheBase()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        byte[] old = PackSamples.Bf16(1, 200_000);
        byte[] now = [.. old.Select((b, i) => i % 100 == 0 ? (byte)(b + 1) : b)];
        PackedFileSource source = Source("new.bin", now);
        using (source.File)
        using (DeltaBase against = DeltaBase.OfFiles("old.bin", [Source("old.bin", old)]))
        {
            FilePacker.Write(_folder["d.mpack"], [source], new PackOptions(), against: against);
        }

        using PackReader reader = PackReader.Open(_folder["d.mpack"], _folder["old.bin"]);
        (int exit, string output) = Run("read", _folder["d.mpack"], "w", _folder["t.npy"], "--base", _folder["old.bin"]);
        Assert.True(exit == 0, output);
        Assert.Equal(Values(reader.Find("w")!.Encoding), ReadNpy(_folder["t.npy"]));
        Assert.Contains("give the base", Run("read", _folder["d.mpack"], "w", _folder["t.npy"]).Output, StringComparison.Ordinal);
        Assert.Contains("is not the base", Run("read", _folder["d.mpack"], "w", _folder["t.npy"], "--base", _folder["new.bin"]).Output, StringComparison.Ordinal);

        PackedFileSource Source(string name, byte[] bytes) =>
            new(name, MappedFile.Open(_folder.Write(name, bytes)), [new PackedFileRange("w", DType.BF16, new Shape(200_000), 0, 400_000)]);
    }

    [SkippableFact]
    public void Read_noArtifact_saysSo()
    {
        Skip.If(Python.Value is null, "no python3 with numpy on this machine");
        (int exit, string output) = Run("list", _folder.Write("x.mpack", new byte[1000]));
        Assert.Equal(1, exit);
        Assert.Contains("not a ModelPack artifact", output, StringComparison.Ordinal);
    }

    /// <summary>bf16 weights in rows of 512 of different scale.</summary>
    private static byte[] Scaled(int count)
    {
        byte[] bytes = PackSamples.Bf16(8, count);
        for (int i = 0; i < count; i++)
        {
            int down = i / 512 * 7 % 5;
            int word = BitConverter.ToUInt16(bytes, 2 * i);
            BitConverter.TryWriteBytes(bytes.AsSpan(2 * i), (ushort)(word - (Math.Min(down, (word >> 7) & 0xff) << 7)));
        }

        return bytes;
    }

    private static string? FindPython()
    {
        foreach (string python in new[] { "python3", "/usr/bin/python3" })
        {
            try
            {
                if (Start(python, "-c", "import numpy").Exit == 0)
                {
                    return python;
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // Not there: try the next one.
            }
        }

        return null;
    }

    private static (int Exit, string Output) Run(params string[] arguments) =>
        Start(Python.Value!, [RepositoryTree.PathTo("samples", "python", "mpack_reader.py"), .. arguments]);

    private static (int Exit, string Output) Start(string python, params string[] arguments)
    {
        var info = new ProcessStartInfo(python, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        using Process process = Process.Start(info)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    private static float[] Values(WeightEncoding encoding)
    {
        float[] values = new float[encoding.Shape.ElementCount];
        EncodingValues.Open(encoding).ReadRows(0, (int)encoding.Shape.Rows, values);
        return values;
    }

    /// <summary>The values of a little-endian, row-major .npy file of the few types the reader writes.</summary>
    private static float[] ReadNpy(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        int start = 10 + BitConverter.ToUInt16(bytes, 8);
        string header = System.Text.Encoding.Latin1.GetString(bytes, 10, start - 10);
        Assert.Contains("'fortran_order': False", header, StringComparison.Ordinal);
        ReadOnlySpan<byte> data = bytes.AsSpan(start);
        int width = header.Contains("'<f4'", StringComparison.Ordinal) || header.Contains("'<i4'", StringComparison.Ordinal) ? 4
            : header.Contains("'<f2'", StringComparison.Ordinal) ? 2 : 1;
        float[] values = new float[data.Length / width];
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> at = data[(i * width)..];
            values[i] = header.Contains("'<f4'", StringComparison.Ordinal) ? BitConverter.ToSingle(at)
                : header.Contains("'<i4'", StringComparison.Ordinal) ? BitConverter.ToInt32(at)
                : width == 2 ? (float)BitConverter.ToHalf(at)
                : (sbyte)at[0];
        }

        return values;
    }
}
