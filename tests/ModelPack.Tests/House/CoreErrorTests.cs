using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>The error codes that Core and the catalogues report themselves.</summary>
public sealed class CoreErrorTests
{
    [Fact]
    public void Open_of_a_missing_file_is_MP1001()
    {
        using var folder = new TempFolder();

        AssertCode(ErrorCodes.FileNotFound, () => MappedFile.Open(folder["absent.onnx"]).Dispose());
        AssertCode(ErrorCodes.FileNotFound, () => MappedFile.Open(folder["absent/absent.onnx"]).Dispose());
        AssertCode(ErrorCodes.FileNotFound, () => ModelPack.Containers.Containers.For(folder["absent.onnx"]));
    }

    [Fact]
    public void Open_of_a_folder_is_MP1002()
    {
        using var folder = new TempFolder();

        AssertCode(ErrorCodes.FileUnreadable, () => MappedFile.Open(folder.Path).Dispose());
    }

    [Fact]
    public void Read_past_the_end_is_MP1003()
    {
        using var folder = new TempFolder();
        using MappedFile file = MappedFile.Open(folder.Write("short.bin", new byte[10]));

        AssertCode(ErrorCodes.FileTruncated, () => file.Read(4, new byte[7]));
    }

    [Fact]
    public void Container_of_an_unknown_file_is_MP1004()
    {
        using var folder = new TempFolder();

        AssertCode(ErrorCodes.UnknownFileKind, () => ModelPack.Containers.Containers.For(folder.Write("notes.txt", "not a model")));
    }

    [Fact]
    public void Unknown_units_are_MP1021()
    {
        AssertCode(ErrorCodes.UnknownUnit, () => ModelPack.Numbers.NumberFormats.Get("int99"));
        AssertCode(ErrorCodes.UnknownUnit, () => ModelPack.Structures.Structures.Get("spiral"));
        AssertCode(ErrorCodes.UnknownUnit, () => ModelPack.Codecs.Codecs.Get("shrink"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Int4")]
    [InlineData("int4(")]
    [InlineData("int4(block)")]
    [InlineData("int4(block=32,block=64)")]
    [InlineData("int4(block=(32))")]
    public void Malformed_unit_specs_are_MP1022(string text) => AssertCode(ErrorCodes.BadUnitArgument, () => UnitSpec.Parse(text));

    [Theory]
    [InlineData("int4(block=x)")]
    [InlineData("int4(block=0)")]
    [InlineData("int4(block=99999)")]
    public void Unit_arguments_out_of_range_are_MP1022(string text) =>
        AssertCode(ErrorCodes.BadUnitArgument, () => UnitSpec.Parse(text).Int("block", 32, 1, 4096));

    [Fact]
    public void Unknown_unit_arguments_are_MP1022() =>
        AssertCode(ErrorCodes.BadUnitArgument, () => UnitSpec.Parse("int4(blok=32)").AllowOnly("block", "scale"));

    private static void AssertCode(ErrorCode expected, Action action) =>
        Assert.Equal(expected, Assert.Throws<ModelPackException>(action).Code);
}
