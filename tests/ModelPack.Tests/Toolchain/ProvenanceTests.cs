using System.Text;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

public sealed class ProvenanceTests
{
    private const string Sound = """
        {"kind":"onnx","tool":"modelpack 0.1.0","target":"generic","accuracy":"exact","seed":"7","recipe_hash":"ab","inputs":[{"name":"m.onnx","bytes":10,"xxh128":"cd"}],"metadata":[{"key":"k","value":"v"}]}
        """;

    [Fact]
    public void Parse_reads_a_sound_record()
    {
        Provenance provenance = Parse(Sound);

        Assert.Equal("onnx", provenance.Kind);
        Assert.Equal(7UL, provenance.Seed);
        Assert.Equal("m.onnx", Assert.Single(provenance.Inputs).Name);
        Assert.Equal("v", Assert.Single(provenance.Metadata).Value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"kind\":")]
    public void Parse_of_what_is_no_record_is_MP4101(string text) => AssertBad(text);

    [Theory]
    [InlineData("\"onnx\"", "1")]
    [InlineData("\"7\"", "7")]
    [InlineData("\"7\"", "\"-7\"")]
    [InlineData("\"7\"", "\"99999999999999999999\"")]
    [InlineData("\"bytes\":10", "\"bytes\":\"ten\"")]
    [InlineData("\"xxh128\"", "\"md5\"")]
    [InlineData("\"inputs\":[", "\"inputs\":[3,")]
    public void Parse_of_a_wrong_field_is_MP4101(string sound, string wrong)
    {
        Assert.Contains(sound, Sound, StringComparison.Ordinal);
        AssertBad(Sound.Replace(sound, wrong, StringComparison.Ordinal));
    }

    private static void AssertBad(string text)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => Parse(text));
        Assert.Equal(ErrorCodes.BadProvenance, e.Code);
        Assert.Equal("a.mpack", e.Path);
    }

    private static Provenance Parse(string text) => Provenance.Parse(Encoding.UTF8.GetBytes(text), "a.mpack");
}
