using System.Runtime.InteropServices;
using ModelPack.Containers.Gguf;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Numbers;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Containers;

/// <summary>TL1 and TL2 matrices of bitnet.cpp through the commands: tiles by shape, from a file beside the model, and unknown.</summary>
public sealed class GgufBitNetTests : IDisposable
{
    private const float Scale = 0.0371f;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(38, "tl1", 1536, 1536, "128x64x64", false)]
    [InlineData(39, "tl2", 1536, 1536, "128x192x32", false)]
    [InlineData(38, "tl1", 96, 256, "48x32x16", true)]
    [InlineData(39, "tl2", 64, 352, "32x96x32", true)]
    [InlineData(39, "tl2", 1536, 1536, "256x96x32", true)]
    public void Values_reach_every_command(int type, string name, int rows, int columns, string tiles, bool beside)
    {
        sbyte[] trits = BitNetTableTests.Trits((ulong)columns, rows * columns);
        string path = Write(type, trits, rows, columns, tiles);
        if (beside)
        {
            WriteConfig($"[Kernels_0]\nm = 17\nk = 32\nbm = 1\nbk = 1\nbmm = 1\n\n; of this file\n{Section(rows, columns, tiles)}");
        }

        InspectedTensor listed = Inspection.Inspect(path).Tensors.Single(t => t.Name == "w");
        Assert.Equal((name, $"bitnet-{name}(scale=0.0371,tiles={tiles})"), (listed.DType, listed.Encoding));

        float[] expected = [.. trits.Select(t => t * Scale)];
        Assert.Equal(0, Run("pack", path, "-o", _folder["m.mpack"]));
        Assert.Equal(0, Run("verify", _folder["m.mpack"]));
        Assert.Equal(0, Run("unpack", _folder["m.mpack"], "-o", _folder["back.gguf"]));
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(_folder["back.gguf"]));
        Assert.Equal(expected, Values("m.mpack"));
        Assert.Equal(expected[(5 * columns)..(41 * columns)], Values("m.mpack", "--rows", "5:41"));

        // The same values in a plain file.
        Assert.Equal(0, Run("unpack", _folder["m.mpack"], "--tensor", "w", "-o", _folder["plain.safetensors"]));
        Assert.True(Assert.Single(Comparison.Compare(path, _folder["plain.safetensors"]).Tensors).Identical);
    }

    [Theory]
    [InlineData(38, "bitnet-tl1", 2560, 256, "256x128x32")]
    [InlineData(39, "bitnet-tl2", 640, 2560, "320x96x32")]
    public void A_shape_without_tiles_is_listed_and_packed_and_says_what_is_missing(int type, string format, int rows, int columns, string tiles)
    {
        string path = Write(type, BitNetTableTests.Trits(1, rows * columns), rows, columns, tiles);
        Assert.Equal($"{format}(scale=0.0371,tiles=unknown)", Inspection.Inspect(path).Tensors.Single(t => t.Name == "w").Encoding);
        Assert.Equal(0, Run("pack", path, "-o", _folder["m.mpack"]));
        Assert.Equal(0, Run("unpack", _folder["m.mpack"], "-o", _folder["back.gguf"]));
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(_folder["back.gguf"]));

        (int code, _, string errors) = CliHarness.Run("compare", path, path);
        Assert.NotEqual(0, code);
        string line = Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries), l => l.Contains("error", StringComparison.Ordinal));
        Assert.Contains("MP1022: ", line, StringComparison.Ordinal);
        Assert.Contains("'w'", line, StringComparison.Ordinal);
        Assert.Contains($"[{rows},{columns}]", line, StringComparison.Ordinal);
        Assert.Contains("kernel_config.ini", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("m = 96\n", "'m = 96' is not 'name = number' in a section")]
    [InlineData("[K]\nm = 96\nk = many\n", "'k = many' is not 'name = number' in a section")]
    [InlineData("[K]\nm = 96\nk\n", "'k' is not 'name = number' in a section")]
    [InlineData("[K]\nm = 96\nk = 256\nbm = 32\nbk = 64\n", "section [K] has no 'bmm'")]
    [InlineData("[K]\nm = 96\nk = 256\nbm = 64\nbk = 64\nbmm = 32\n", "tiles 64x64x32 (bm, bk, bmm) do not fit a matrix [96,256] in TL1")]
    [InlineData("[K]\nm = 96\nk = 256\nbm = 32\nbk = 96\nbmm = 32\n", "do not fit a matrix")]
    [InlineData("[K]\nm = 96\nk = 256\nbm = 0\nbk = 0\nbmm = 0\n", "do not fit a matrix")]
    public void A_configuration_that_is_damaged_or_does_not_fit_isMP1418(string config, string message)
    {
        string path = Write(38, BitNetTableTests.Trits(1, 96 * 256), 96, 256, "32x64x32");
        WriteConfig(config);
        ModelPackException e = Assert.Throws<ModelPackException>(() => Inspection.Inspect(path));
        Assert.Equal(ErrorCodes.BitNetKernelConfig, e.Code);
        Assert.Equal(_folder["kernel_config.ini"], e.Path);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    /// <summary>The published tiles fit their shapes, and the number format takes them.</summary>
    [Fact]
    public void Published_tiles_are_those_of_kernels()
    {
        (int, int)[] shapes = [(1536, 4096), (1536, 1536), (4096, 1536), (3200, 8640), (3200, 3200), (8640, 3200), (14336, 4096), (4096, 14336), (1024, 4096), (4096, 4096)];
        var config = new BitNetKernelConfig(_folder["m.gguf"]);
        foreach ((int rows, int columns) in shapes)
        {
            foreach (bool triples in new[] { false, true })
            {
                var shape = new Shape(rows, columns);
                BitNetTiles tiles = Assert.NotNull(config.Find("w", shape, triples));
                Assert.True(tiles.Fit(shape, triples), $"{shape} {tiles}");
                IBoundNumberFormat bound = ModelPack.Numbers.NumberFormats.Bind(new UnitSpec(triples ? "bitnet-tl2" : "bitnet-tl1", ("tiles", tiles.ToString())), shape);
                Assert.Equal(tiles.Streams(shape, triples), bound.Streams.Select(s => (s.Role, s.BytesPerRow * bound.Shape.Rows)));
            }
        }

        Assert.Null(config.Find("w", new Shape(2560, 6912), triples: false));
    }

    private string Write(int type, sbyte[] trits, int rows, int columns, string tiles)
    {
        int[] t = [.. tiles.Split('x').Select(int.Parse)];
        byte[] bytes = type == 38 ? BitNetTableTests.PackTl1(trits, rows, columns, (t[0], t[1], t[2])) : BitNetTableTests.PackTl2(trits, rows, columns, (t[0], t[1], t[2]));
        if (type == 39)
        {
            int room = ((columns - 256) * rows / 3 * 5 / 8) + (256 * rows / 2 * 4 / 8);
            Array.Resize(ref bytes, (room + 31) / 32 * 32);
        }

        return _folder.Write("m.gguf", new GgufBytes()
            .Pair("general.architecture", "bitnet")
            .Tensor("w", [(ulong)columns, (ulong)rows], (uint)type, bytes)
            .Tensor("w_scale", [1], 0, [.. BitConverter.GetBytes(Scale)])
            .Tensor("norm", [64], 0, new byte[256])
            .Build());
    }

    private void WriteConfig(string text) => File.WriteAllText(_folder["kernel_config.ini"], text);

    private static string Section(int rows, int columns, string tiles)
    {
        string[] t = tiles.Split('x');
        return $"[Kernels_1]\nm = {rows}\nk = {columns}\nbm = {t[0]}\nbk = {t[1]}\nbmm = {t[2]}\n";
    }

    private float[] Values(string artifact, params string[] rows)
    {
        Assert.Equal(0, Run(["unpack", _folder[artifact], "--tensor", "w", "--dtype", "f32", .. rows, "-o", _folder["w.bin"]]));
        return MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(_folder["w.bin"])).ToArray();
    }

    private static int Run(params string[] arguments)
    {
        (int code, _, string errors) = CliHarness.Run(arguments);
        Assert.True(code == 0, errors);
        return code;
    }
}
