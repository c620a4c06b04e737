using System.Buffers.Binary;
using System.Reflection;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Containers.SafetensorsBytes;

namespace ModelPack.Tests.Containers;

/// <summary>One test per error code of the container, named after it.</summary>
public sealed class SafetensorsErrorTests
{
    private const string F32x2 = """{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""";

    [Fact]
    public void Codes_of_this_area_each_have_a_test()
    {
        string[] codes = [.. typeof(ErrorCodes).GetFields().Where(f => ((ErrorCode)f.GetValue(null)!).Number is >= 1100 and < 1150).Select(f => f.Name)];
        string[] tests = [.. typeof(SafetensorsErrorTests).GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.DeclaredOnly).Select(m => m.Name.Split('_')[0])];
        Assert.True(codes.Length > 30);
        Assert.Empty(codes.Except(tests));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void SafetensorsTooShort_file_under_8_bytes(int length) => Rejects(ErrorCodes.SafetensorsTooShort, new byte[length]);

    [Theory]
    [InlineData(100_000_001ul)]
    [InlineData(1ul << 31)]
    [InlineData((1ul << 63) - 1)]
    [InlineData(1ul << 63)]
    [InlineData(ulong.MaxValue)]
    public void SafetensorsHeaderTooLarge_hostile_length(ulong length)
    {
        byte[] file = File("{}", 100);
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        Rejects(ErrorCodes.SafetensorsHeaderTooLarge, file);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(100_000_000)]
    public void SafetensorsHeaderPastEnd_length_beyond_the_file(long length)
    {
        byte[] file = File("{}");
        BinaryPrimitives.WriteInt64LittleEndian(file, length);
        Rejects(ErrorCodes.SafetensorsHeaderPastEnd, file);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" {}")]
    [InlineData("[]")]
    [InlineData("\"x\"")]
    [InlineData("\uFEFF{}")]
    public void SafetensorsHeaderStart_not_a_brace(string header) => Rejects(ErrorCodes.SafetensorsHeaderStart, header);

    [Fact]
    public void SafetensorsHeaderNotUtf8_stray_byte()
    {
        byte[] header = Encoding.UTF8.GetBytes("{\"x\":" + F32x2 + "}");
        header[2] = 0xFF;
        Rejects(ErrorCodes.SafetensorsHeaderNotUtf8, File(header, 8));
    }

    [Theory]
    [InlineData("{")]
    [InlineData("{\"x\"")]
    [InlineData("{\"x\":" + F32x2)]
    [InlineData("{\"x\":" + F32x2 + ",}")]
    [InlineData("{\"x\":" + F32x2 + "}}")]
    [InlineData("{\"x\":" + F32x2 + "}\0")]
    [InlineData("{\"x\":" + F32x2 + "} x")]
    [InlineData("{/* */}")]
    [InlineData("{\"x\":{\"dtype\":\"F32\",\"shape\":[02],\"data_offsets\":[0,8]}}")]
    public void SafetensorsHeaderNotJson_broken_text(string header) => Rejects(ErrorCodes.SafetensorsHeaderNotJson, header, 8);

    [Theory]
    [InlineData("x", "x")]
    [InlineData("x", "\\u0078")]
    [InlineData("\\n", "\\u000a")]
    public void SafetensorsDuplicateTensor_same_name(string first, string second)
    {
        string header = $$$"""{"{{{first}}}":{{{F32x2}}},"{{{second}}}":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""";
        Assert.NotNull(Rejects(ErrorCodes.SafetensorsDuplicateTensor, header, 16).Tensor);
    }

    [Theory]
    [InlineData("""{"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","d\u0074ype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    public void SafetensorsDuplicateField_within_one_tensor(string header) => Assert.Equal("x", Rejects(ErrorCodes.SafetensorsDuplicateField, header, 8).Tensor);

    [Theory]
    [InlineData("""{"__metadata__":{"a":"1","a":"1"}}""")]
    [InlineData("""{"__metadata__":{"a":"1","\u0061":"2"}}""")]
    [InlineData("""{"__metadata__":{"a":"1"},"__metadata__":{"b":"1"}}""")]
    [InlineData("""{"__metadata__":{},"__met\u0061data__":{}}""")]
    public void SafetensorsDuplicateMetadata_same_key(string header) => Rejects(ErrorCodes.SafetensorsDuplicateMetadata, header);

    [Theory]
    [InlineData("""{"x":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":{"a":2},"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,[8]]}}""")]
    [InlineData("""{"__metadata__":{"a":{"b":"c"}}}""")]
    public void SafetensorsNesting_structure_where_a_scalar_belongs(string header) => Rejects(ErrorCodes.SafetensorsNesting, header, 8);

    [Fact]
    public void SafetensorsNesting_bomb_of_a_million_brackets() =>
        Rejects(ErrorCodes.SafetensorsNesting, "{\"x\":{\"dtype\":\"F32\",\"shape\":" + new string('[', 1_000_000) + new string(']', 1_000_000) + "}}");

    [Theory]
    [InlineData("""{"x":[]}""")]
    [InlineData("""{"x":null}""")]
    [InlineData("""{"x":"F32"}""")]
    [InlineData("""{"x":1}""")]
    public void SafetensorsEntryNotObject_other_value(string header) => Assert.Equal("x", Rejects(ErrorCodes.SafetensorsEntryNotObject, header).Tensor);

    [Fact]
    public void SafetensorsEntryNotObject_bomb_of_a_million_brackets() =>
        Rejects(ErrorCodes.SafetensorsEntryNotObject, "{\"x\":" + new string('[', 1_000_000) + new string(']', 1_000_000) + "}");

    [Theory]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}}""")]
    [InlineData("""{"x":{"DType":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    public void SafetensorsUnknownField_in_an_entry(string header) => Rejects(ErrorCodes.SafetensorsUnknownField, header, 8);

    [Theory]
    [InlineData("""{"x":{"shape":[2],"data_offsets":[0,8]}}""", "dtype")]
    [InlineData("""{"x":{"dtype":"F32","data_offsets":[0,8]}}""", "shape")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2]}}""", "data_offsets")]
    [InlineData("""{"x":{}}""", "dtype")]
    public void SafetensorsMissingField_is_named(string header, string field) =>
        Assert.Contains(field, Rejects(ErrorCodes.SafetensorsMissingField, header, 8).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("F33")]
    [InlineData("f32")]
    [InlineData("")]
    [InlineData("F8_E4M3FN")]
    [InlineData("F32 ")]
    public void SafetensorsUnknownDType_is_named(string dtype)
    {
        ModelPackException e = Rejects(ErrorCodes.SafetensorsUnknownDType, $$$"""{"x":{"dtype":"{{{dtype}}}","shape":[2],"data_offsets":[0,8]}}""", 8);
        Assert.Contains($"'{dtype}'", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"__metadata__":[]}""")]
    [InlineData("""{"__metadata__":"x"}""")]
    [InlineData("""{"__metadata__":{"a":1}}""")]
    [InlineData("""{"__metadata__":{"a":null}}""")]
    public void SafetensorsMetadataNotStrings_other_values(string header) => Rejects(ErrorCodes.SafetensorsMetadataNotStrings, header);

    [Theory]
    [InlineData("2.0")]
    [InlineData("2e0")]
    [InlineData("\"2\"")]
    [InlineData("null")]
    [InlineData("true")]
    public void SafetensorsNotAnInteger_dimension(string dim) =>
        Rejects(ErrorCodes.SafetensorsNotAnInteger, $$$"""{"x":{"dtype":"F32","shape":[{{{dim}}}],"data_offsets":[0,8]}}""", 8);

    [Theory]
    [InlineData("[-2]", "[0,8]")]
    [InlineData("[2]", "[-8,0]")]
    [InlineData("[-0]", "[0,0]")]
    [InlineData("[-2,-1]", "[0,8]")]
    public void SafetensorsNegativeNumber_shape_or_offset(string shape, string offsets) =>
        Rejects(ErrorCodes.SafetensorsNegativeNumber, $$$"""{"x":{"dtype":"F32","shape":{{{shape}}},"data_offsets":{{{offsets}}}}}""", 8);

    [Theory]
    [InlineData("[9223372036854775808]", "[0,8]")]
    [InlineData("[18446744073709551618]", "[0,8]")]
    [InlineData("[2]", "[0,18446744073709551624]")]
    [InlineData("[2]", "[9223372036854775808,9223372036854775816]")]
    [InlineData("[100000000000000000000000000000000000000000000000]", "[0,8]")]
    public void SafetensorsNumberTooLarge_shape_or_offset(string shape, string offsets) =>
        Rejects(ErrorCodes.SafetensorsNumberTooLarge, $$$"""{"x":{"dtype":"F32","shape":{{{shape}}},"data_offsets":{{{offsets}}}}}""", 8);

    [Theory]
    [InlineData("[4294967296,4294967296]")]
    [InlineData("[9223372036854775807]")]
    [InlineData("[4294967296,4294967296,4294967296,4294967296]")]
    [InlineData("[4611686018427387906]")]
    [InlineData("[0,4294967296,4294967296]")]
    public void SafetensorsShapeOverflow_product(string shape) =>
        Rejects(ErrorCodes.SafetensorsShapeOverflow, $$$"""{"x":{"dtype":"F32","shape":{{{shape}}},"data_offsets":[0,8]}}""", 8);

    [Fact]
    public void SafetensorsTooManyDimensions_over_256() =>
        Rejects(ErrorCodes.SafetensorsTooManyDimensions, $$$"""{"x":{"dtype":"F32","shape":[{{{string.Join(',', Enumerable.Repeat(1, 257))}}}],"data_offsets":[0,4]}}""", 4);

    [Theory]
    [InlineData("""{"x":{"dtype":4,"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":null,"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"data_offsets":"0,8"}}""")]
    public void SafetensorsFieldType_wrong_json_type(string header) => Rejects(ErrorCodes.SafetensorsFieldType, header, 8);

    [Theory]
    [InlineData("[]")]
    [InlineData("[0]")]
    [InlineData("[0,8,8]")]
    public void SafetensorsOffsetCount_not_two(string offsets) =>
        Rejects(ErrorCodes.SafetensorsOffsetCount, $$$"""{"x":{"dtype":"F32","shape":[2],"data_offsets":{{{offsets}}}}}""", 8);

    [Fact]
    public void SafetensorsOffsetsReversed_end_before_begin()
    {
        ModelPackException e = Rejects(ErrorCodes.SafetensorsOffsetsReversed, """{"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8);
        Assert.Contains("[8,0]", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("F32", "[3]", "[0,8]")]
    [InlineData("F16", "[2]", "[0,8]")]
    [InlineData("F32", "[]", "[0,8]")]
    [InlineData("F32", "[0]", "[0,8]")]
    [InlineData("F4", "[8]", "[0,8]")]
    public void SafetensorsSizeMismatch_names_tensor_offset_and_numbers(string dtype, string shape, string offsets)
    {
        string header = $$$"""{"x":{"dtype":"{{{dtype}}}","shape":{{{shape}}},"data_offsets":{{{offsets}}}}}""";
        ModelPackException e = Rejects(ErrorCodes.SafetensorsSizeMismatch, header, 8);
        Assert.Equal("x", e.Tensor);
        Assert.Equal(8 + header.Length, e.OffsetBytes);
        Assert.StartsWith($"tensor 'x' at 0x{8 + header.Length:x}: {dtype}{shape} needs ", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("F4", "[3]", 2)]
    [InlineData("F6_E2M3", "[2]", 2)]
    [InlineData("F6_E3M2", "[5,1]", 4)]
    public void SafetensorsPartialByte_sub_byte_dtype(string dtype, string shape, int bytes) =>
        Rejects(ErrorCodes.SafetensorsPartialByte, $$$"""{"x":{"dtype":"{{{dtype}}}","shape":{{{shape}}},"data_offsets":[0,{{{bytes}}}]}}""", bytes);

    [Fact]
    public void SafetensorsDataStart_first_tensor_not_at_zero()
    {
        ModelPackException e = Rejects(ErrorCodes.SafetensorsDataStart, """{"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12);
        Assert.Equal("x", e.Tensor);
    }

    [Theory]
    [InlineData("[4,12]", 12)]
    [InlineData("[0,8]", 8)]
    [InlineData("[7,15]", 15)]
    public void SafetensorsOverlap_names_both(string second, int bytes)
    {
        ModelPackException e = Rejects(ErrorCodes.SafetensorsOverlap, $$$"""{"x":{{{F32x2}}},"y":{"dtype":"F32","shape":[2],"data_offsets":{{{second}}}}}""", bytes);
        Assert.Equal("y", e.Tensor);
        Assert.Contains("'x'", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SafetensorsOverlap_empty_tensor_inside_another() =>
        Rejects(ErrorCodes.SafetensorsOverlap, $$$"""{"x":{{{F32x2}}},"y":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}""", 8);

    [Fact]
    public void SafetensorsHole_between_tensors()
    {
        ModelPackException e = Rejects(ErrorCodes.SafetensorsHole, $$$"""{"x":{{{F32x2}}},"y":{"dtype":"F32","shape":[2],"data_offsets":[9,17]}}""", 17);
        Assert.Equal("y", e.Tensor);
        Assert.Contains("1 bytes after the end of 'x'", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(7)]
    [InlineData(0)]
    public void SafetensorsDataPastEnd_truncated_data(int bytes) => Assert.Equal("x", Rejects(ErrorCodes.SafetensorsDataPastEnd, $$$"""{"x":{{{F32x2}}}}""", bytes).Tensor);

    [Fact]
    public void SafetensorsDataPastEnd_offsets_near_the_64_bit_limit() =>
        Rejects(ErrorCodes.SafetensorsDataPastEnd, """{"x":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807]}}""", 8);

    [Fact]
    public void SafetensorsTrailingBytes_after_the_last_tensor()
    {
        Rejects(ErrorCodes.SafetensorsTrailingBytes, $$$"""{"x":{{{F32x2}}}}""", 9);
        Rejects(ErrorCodes.SafetensorsTrailingBytes, "{}", 1);
    }

    [Theory]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"__metadata__":{"a":"\udc00x"}}""")]
    [InlineData("""{"__metadata__":{"\ud800":"x"}}""")]
    [InlineData("""{"x":{"\ud800":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"x":{"dtype":"\ud800","shape":[2],"data_offsets":[0,8]}}""")]
    public void SafetensorsBadText_half_a_surrogate_pair(string header) => Rejects(ErrorCodes.SafetensorsBadText, header, 8);

    [Theory]
    [InlineData(DType.I4)]
    [InlineData(DType.C128)]
    [InlineData(DType.String)]
    public void SafetensorsCannotHoldDType_on_export(DType dtype) => ExportRejects(ErrorCodes.SafetensorsCannotHoldDType, Tensor.Raw("x", dtype, new Shape(2), TensorData.Empty));

    [Fact]
    public void SafetensorsCannotHoldName_on_export()
    {
        Tensor x = Tensor.Raw("x", DType.U8, new Shape(1), TensorData.FromBytes(new byte[1]));
        ExportRejects(ErrorCodes.SafetensorsCannotHoldName, x, x);
        ExportRejects(ErrorCodes.SafetensorsCannotHoldName, x with { Name = "__metadata__" });
        ExportRejects(ErrorCodes.SafetensorsCannotHoldName, x with { Name = "\ud800" });
    }

    [Fact]
    public void SafetensorsPartialByte_on_export() => ExportRejects(ErrorCodes.SafetensorsPartialByte, Tensor.Raw("x", DType.F4E2M1, new Shape(3), TensorData.Empty));

    [Fact]
    public void SafetensorsShapeOverflow_on_export() =>
        ExportRejects(ErrorCodes.SafetensorsShapeOverflow, Tensor.Raw("x", DType.F32, new Shape(1L << 40, 1L << 40), TensorData.Empty));

    [Fact]
    public void SafetensorsCannotHoldGraph_on_export()
    {
        using var folder = new TempFolder();
        var model = new Model { Kind = ModelKind.Onnx, Graph = new Graph() };
        var e = Assert.Throws<ModelPackException>(() => new SafetensorsContainer().Export(model, folder["out.safetensors"], Raw));
        Assert.Equal(ErrorCodes.SafetensorsCannotHoldGraph, e.Code);
    }

    [Fact]
    public void SafetensorsHeaderWouldBeTooLarge_on_export()
    {
        Tensor x = Tensor.Raw(new string('x', 100), DType.U8, new Shape(1), TensorData.FromBytes(new byte[1]));
        var e = Assert.Throws<ModelPackException>(() => SafetensorsWriter.Write(Stream.Null, [x], [], Raw, CancellationToken.None, maxHeaderBytes: 120));
        Assert.Equal(ErrorCodes.SafetensorsHeaderWouldBeTooLarge, e.Code);
    }

    private static TensorData Raw(Tensor tensor) => tensor.TryGetRawData(out TensorData data) ? data : throw new InvalidOperationException("not raw");

    private static void ExportRejects(ErrorCode code, params Tensor[] tensors)
    {
        using var folder = new TempFolder();
        var model = new Model { Kind = ModelKind.Safetensors, Graph = new Graph { Initializers = [.. tensors] } };
        var e = Assert.Throws<ModelPackException>(() => new SafetensorsContainer().Export(model, folder["new/out.safetensors"], Raw));
        Assert.Equal(code, e.Code);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }
}
