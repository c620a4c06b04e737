using System.Text;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary><c>unpack --tensor</c> on packed files and compiled artifacts.</summary>
public sealed class TensorExtractionTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly byte[] _weights = PackSamples.Bf16(1, 600 * 96);
    private readonly byte[] _bias = PackSamples.F32(2, 96);

    public TensorExtractionTests()
    {
        string header = """{"layer.weight":{"dtype":"BF16","shape":[600,96],"data_offsets":[0,115200]},"layer.bias":{"dtype":"F32","shape":[96],"data_offsets":[115200,115584]}}""";
        _folder.Write("m.safetensors", [.. BitConverter.GetBytes((long)header.Length), .. Encoding.ASCII.GetBytes(header), .. _weights, .. _bias]);
        Run("pack", _folder["m.safetensors"], "-o", _folder["p.mpack"]);
        Run("compile", _folder["m.safetensors"], "-o", _folder["c.mpack"], "--recipe", "int8");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Safetensors_holdTheTensorsAskedFor()
    {
        Run("unpack", _folder["p.mpack"], "--tensor", "layer.bias", "--tensor", "layer.weight", "-o", _folder["t.safetensors"]);
        Run("compare", _folder["m.safetensors"], _folder["t.safetensors"]);
        byte[] bytes = File.ReadAllBytes(_folder["t.safetensors"]);
        Assert.Equal([.. _bias, .. _weights], bytes[^(115200 + 384)..]);
    }

    [Fact]
    public void Rows_areCutFromTheFirstAxis()
    {
        Run("unpack", _folder["p.mpack"], "--tensor", "layer.weight", "--rows", "100:103", "-o", _folder["t.bin"]);
        Assert.Equal(_weights[(100 * 192)..(103 * 192)], File.ReadAllBytes(_folder["t.bin"]));
        Run("unpack", _folder["p.mpack"], "--tensor", "layer.weight", "--rows", "599:", "-o", _folder["t.safetensors"]);
        Assert.Contains("[1,96]", Encoding.ASCII.GetString(File.ReadAllBytes(_folder["t.safetensors"])), StringComparison.Ordinal);
        Run("unpack", _folder["p.mpack"], "--tensor", "layer.bias", "--rows", ":4", "-o", _folder["t.npy"]);
        using NpyFile npy = NpyFile.Open(_folder["t.npy"]);
        Assert.Equal(new Shape(4), npy.Shape);
        Assert.Equal(_bias[..16], npy.Data.ToArray());
    }

    /// <summary>More than two windows are decoded ahead; rows begin and end anywhere; nothing outside of them is read.</summary>
    [Fact]
    public void Threads_neverChangeTheBytes_andReadNoMoreThanTheRows()
    {
        const int rows = 20_000;
        byte[] weights = PackSamples.Bf16(3, rows * 1000);
        string header = $$$"""{"w":{"dtype":"BF16","shape":[{{{rows}}},1000],"data_offsets":[0,{{{weights.Length}}}]}}""";
        _folder.Write("l.safetensors", [.. BitConverter.GetBytes((long)header.Length), .. Encoding.ASCII.GetBytes(header), .. weights]);
        Run("pack", _folder["l.safetensors"], "-o", _folder["l.mpack"], "--level", "fast");
        Run("compile", _folder["l.safetensors"], "-o", _folder["lc.mpack"], "--recipe", "int8", "--level", "fast");
        foreach (int threads in new[] { 1, 2, 5 })
        {
            Run("unpack", _folder["l.mpack"], "--tensor", "w", "-o", _folder["t.bin"], "--threads", $"{threads}");
            Assert.True(weights.AsSpan().SequenceEqual(File.ReadAllBytes(_folder["t.bin"])));
            Run("unpack", _folder["l.mpack"], "--tensor", "w", "--rows", "8123:18777", "-o", _folder["t.bin"], "--threads", $"{threads}");
            Assert.True(weights.AsSpan()[(8123 * 2000)..(18777 * 2000)].SequenceEqual(File.ReadAllBytes(_folder["t.bin"])));
            Run("unpack", _folder["lc.mpack"], "--tensor", "w", "--rows", "77:19999", "--dtype", "f32", "-o", _folder[$"c{threads}.bin"], "--threads", $"{threads}");
            Assert.True(File.ReadAllBytes(_folder["c1.bin"]).AsSpan().SequenceEqual(File.ReadAllBytes(_folder[$"c{threads}.bin"])));
        }

        long[] read = [.. new[] { 1, 4 }.Select(t => ModelPack.Toolchain.TensorExtraction.Extract(_folder["l.mpack"], _folder["t.bin"], ["w"], (3000, 4100), threads: t).InputBytes)];
        Assert.Equal(read[0], read[1]);
        Assert.InRange(read[0], 1, 4 << 20);

        byte[] damaged = File.ReadAllBytes(_folder["l.mpack"]);
        damaged[damaged.Length * 3 / 4] ^= 1;
        (int code, _, string error) = CliHarness.Run("unpack", _folder.Write("d.mpack", damaged), "--tensor", "w", "-o", _folder["x.bin"], "--threads", "3");
        Assert.Equal(1, code);
        Assert.Matches(@"MP1309: .*chunk \d+ of 'w#values' is damaged", error);
        Assert.False(File.Exists(_folder["x.bin"]));
    }

    [Fact]
    public void Npy_ofBf16_needsAType()
    {
        (int code, _, string error) = CliHarness.Run("unpack", _folder["p.mpack"], "--tensor", "layer.weight", "-o", _folder["t.npy"]);
        Assert.Equal(1, code);
        Assert.Contains("MP1069", error, StringComparison.Ordinal);
        Assert.Contains("--dtype f32 converts it", error, StringComparison.Ordinal);

        Run("unpack", _folder["p.mpack"], "--tensor", "layer.weight", "--dtype", "f32", "-o", _folder["t.npy"]);
        using NpyFile npy = NpyFile.Open(_folder["t.npy"]);
        byte[] values = npy.Data.ToArray();
        for (int i = 0; i < 600 * 96; i++)
        {
            Assert.Equal(_weights[(2 * i)..((2 * i) + 2)], values[((4 * i) + 2)..((4 * i) + 4)]);
        }
    }

    [Fact]
    public void Compiled_artifactsGiveDenseValues()
    {
        Run("unpack", _folder["c.mpack"], "-o", _folder["whole.safetensors"], "--dtype", "f32");
        Run("unpack", _folder["c.mpack"], "--tensor", "layer.weight", "--dtype", "f32", "-o", _folder["t.bin"]);
        byte[] whole = File.ReadAllBytes(_folder["whole.safetensors"]);
        byte[] tensor = File.ReadAllBytes(_folder["t.bin"]);
        Assert.Equal(600 * 96 * 4, tensor.Length);
        Assert.True(whole.AsSpan().IndexOf(tensor) > 0);

        Run("unpack", _folder["c.mpack"], "--tensor", "layer.weight", "--rows", "10:20", "--dtype", "f32", "-o", _folder["rows.bin"]);
        Assert.Equal(tensor[(10 * 384)..(20 * 384)], File.ReadAllBytes(_folder["rows.bin"]));
    }

    [Theory]
    [InlineData("--tensor layer.wieght -o t.bin", 2, "has no tensor 'layer.wieght'; did you mean 'layer.weight'?")]
    [InlineData("--rows 0:1 -o t.bin", 2, "--rows needs --tensor")]
    [InlineData("--tensor layer.weight --rows 3 -o t.bin", 2, "--rows: '3' is not of the form first:end")]
    [InlineData("--tensor layer.weight --rows 3:2 -o t.bin", 2, "--rows: '3:2' is not of the form first:end")]
    [InlineData("--tensor layer.weight --tensor layer.bias -o t.npy", 2, "a .npy file holds one tensor, not 2")]
    [InlineData("--tensor layer.weight --dtype fp8 -o t.bin", 2, "--dtype fp8 writes whole checkpoints")]
    [InlineData("--tensor layer.weight --rows 599:601 -o t.bin", 1, "MP4109: tensor 'layer.weight': rows 599:601 are not among the 600 rows of bf16[600,96]")]
    [InlineData("--tensor layer.weight --rows 601: -o t.bin", 1, "MP4109")]
    public void Mistakes_areOneLineAndWriteNothing(string options, int code, string message)
    {
        (int exit, _, string error) = CliHarness.Run(["unpack", _folder["p.mpack"], .. options.Replace("-o ", $"-o {_folder.Path}/", StringComparison.Ordinal).Split(' ')]);
        Assert.Equal(code, exit);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.Empty(Directory.GetFiles(_folder.Path, "t.*"));
    }

    [Fact]
    public void UnknownTensor_ofTheLibrary_isMP4108()
    {
        var e = Assert.Throws<ModelPackException>(() => ModelPack.Toolchain.TensorExtraction.Extract(_folder["p.mpack"], _folder["t.bin"], ["nothing"]));
        Assert.Equal(ErrorCodes.UnknownTensor, e.Code);
    }

    [Theory]
    [InlineData("fast")]
    [InlineData("default")]
    [InlineData("max")]
    public void Level_packsAndCompiles_andIsRecorded(string level)
    {
        Run("pack", _folder["m.safetensors"], "-o", _folder["l.mpack"], "--level", level);
        Run("unpack", _folder["l.mpack"], "-o", _folder["l.safetensors"]);
        Assert.Equal(File.ReadAllBytes(_folder["m.safetensors"]), File.ReadAllBytes(_folder["l.safetensors"]));
        Run("compile", _folder["m.safetensors"], "-o", _folder["l.mpack"], "--recipe", "lossless", "--level", level);
        Run("verify", _folder["l.mpack"], "--rederive", _folder["m.safetensors"]);
        using ModelPack.Pack.PackReader reader = ModelPack.Pack.PackReader.Open(_folder["l.mpack"]);
        Assert.Contains($"\"level\":\"{level}\"", Encoding.UTF8.GetString(reader.Blobs["provenance"].ToArray()), StringComparison.Ordinal);
    }

    private static void Run(params string[] args)
    {
        (int code, _, string error) = CliHarness.Run(args);
        Assert.True(code == 0, error);
    }
}
