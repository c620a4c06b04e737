using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using Xunit;
using static ModelPack.Tests.Onnx.Wire;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;

namespace ModelPack.Tests.Onnx;

/// <summary>Each thing that can be wrong with the framing, the graph and its tensors has its own code.</summary>
public sealed class OnnxErrorTests
{
    private static readonly byte[] Name = Text(8, "w");
    private static readonly byte[] FloatType = Number(2, 1);

    [Fact]
    public void Import_of_an_empty_file_is_MP1210() => AssertCode(ErrorCodes.OnnxNoGraph, []);

    [Fact]
    public void Import_of_a_model_without_graph_is_MP1210() => AssertCode(ErrorCodes.OnnxNoGraph, Number(1, 8));

    [Fact]
    public void Import_of_field_number_zero_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, [0, 1]);

    [Fact]
    public void Import_of_wire_type_six_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, [0x0E, 1]);

    [Fact]
    public void Import_of_a_varint_of_eleven_bytes_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, [8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]);

    [Fact]
    public void Import_of_a_varint_of_seventy_bits_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, [8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]);

    [Fact]
    public void Import_of_a_group_that_only_ends_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, Tag(99, 4));

    [Fact]
    public void Import_of_a_group_that_ends_as_another_is_MP1200() => AssertCode(ErrorCodes.OnnxWireFormat, Join(Tag(99, 3), Tag(98, 4)));

    [Fact]
    public void Import_of_a_group_that_never_ends_is_MP1201() => AssertCode(ErrorCodes.OnnxLength, Join(Tag(99, 3), Number(1, 1)));

    [Theory]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 31)]
    [InlineData(3UL)]
    public void Import_of_a_length_past_the_end_is_MP1201(ulong length) => AssertCode(ErrorCodes.OnnxLength, Join(Number(1, 8), Tag(7, 2), Varint(length), [0, 0]));

    [Fact]
    public void Import_of_a_length_past_its_parent_is_MP1201() =>
        AssertCode(ErrorCodes.OnnxLength, Join(Message(7, Tag(5, 2), Varint(10)), Text(2, "a producer name, long enough")));

    [Fact]
    public void Import_of_raw_data_past_its_tensor_is_MP1201() =>
        AssertCode(ErrorCodes.OnnxLength, Join(ModelWithTensor(Name, FloatType, Tag(9, 2), Varint(100)), new byte[200]));

    [Fact]
    public void Import_of_a_number_that_is_cut_off_is_MP1201() => AssertCode(ErrorCodes.OnnxLength, ModelWithTensor(Name, [.. Tag(4, 5), 1, 2]));

    [Fact]
    public void Import_of_a_recursion_bomb_is_MP1202() => AssertCode(ErrorCodes.OnnxTooDeep, OnnxWireTests.Nested(5000));

    [Fact]
    public void Import_of_nested_groups_is_MP1202() => AssertCode(ErrorCodes.OnnxTooDeep, [.. Enumerable.Repeat(Tag(99, 3), 100_000).SelectMany(t => t)]);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Import_of_too_many_messages_or_pieces_of_data_is_MP1203(bool messages)
    {
        // Few bytes on disk, a hundred or more in memory: empty nodes, or an int32, an int64, an int32 ... as data of one tensor.
        byte[] piece = messages ? [0x0A, 0] : [5 << 3, 0, 7 << 3, 0];
        byte[] bomb = [.. Enumerable.Repeat(piece, 2000).SelectMany(p => p)];
        byte[] model = messages ? Message(7, bomb) : ModelWithTensor(Name, bomb);
        Assert.NotEmpty(ModelScanner.Scan(TensorData.FromBytes(model), null, default, maxMessages: 5000).ToArray());
        ModelPackException e = Assert.Throws<ModelPackException>(() => ModelScanner.Scan(TensorData.FromBytes(model), null, default, maxMessages: 1900));
        Assert.Equal(ErrorCodes.OnnxTooLarge, e.Code);
    }

    [Fact]
    public void Import_of_names_that_are_not_utf8_is_MP1204() => AssertCode(ErrorCodes.OnnxText, Model(Message(2, [0xC3, 0x28])));

    [Fact]
    public void Import_of_the_private_field_is_MP1205() => AssertCode(ErrorCodes.OnnxReservedField, ModelWithTensor(Name, FloatType, Message(OnnxSchema.RangesField, [])));

    [Fact]
    public void Import_of_an_initializer_without_name_is_MP1211() => AssertCode(ErrorCodes.OnnxInitializerName, ModelWithTensor(FloatType, Message(9, new byte[4])));

    [Fact]
    public void Import_of_two_initializers_of_one_name_is_MP1212()
    {
        byte[] tensor = Message(5, Name, FloatType, Message(9, new byte[4]));
        AssertCode(ErrorCodes.OnnxDuplicateInitializer, Model(tensor, tensor));
        AssertCode(ErrorCodes.OnnxDuplicateInitializer, Model(tensor, Message(15, Message(1, Name, FloatType, Message(9, new byte[4])), Message(2, Number(2, 7), Message(9, new byte[8])), Number(3, 4))));
    }

    [Fact]
    public void Import_of_an_attribute_with_a_tensor_of_type_int_is_MP1213() =>
        AssertCode(ErrorCodes.OnnxAttribute, Model(Message(1, Text(4, "Op"), Message(5, Text(1, "a"), Number(20, 2), Message(5, FloatType, Message(9, new byte[4]))))));

    [Theory]
    [InlineData(0)]
    [InlineData(27)]
    [InlineData(-1)]
    public void Import_of_an_unknown_dtype_is_MP1220(int dtype) => AssertCode(ErrorCodes.OnnxDType, ModelWithTensor(Name, Number(2, (ulong)dtype), Message(9, new byte[4])));

    [Fact]
    public void Import_of_a_negative_dimension_is_MP1221() => AssertCode(ErrorCodes.OnnxShape, ModelWithTensor(Name, FloatType, Number(1, ulong.MaxValue)));

    [Fact]
    public void Import_of_dimensions_that_overflow_is_MP1221()
    {
        AssertCode(ErrorCodes.OnnxShape, ModelWithTensor(Name, FloatType, Number(1, 1UL << 40), Number(1, 1UL << 40)));
        AssertCode(ErrorCodes.OnnxShape, ModelWithTensor(Name, FloatType, Number(1, 1UL << 62)));
    }

    [Fact]
    public void Import_of_data_of_another_size_is_MP1222()
    {
        AssertCode(ErrorCodes.OnnxTensorSize, ModelWithTensor(Name, FloatType, Number(1, 2), Message(9, new byte[7])));
        AssertCode(ErrorCodes.OnnxTensorSize, ModelWithTensor(Name, FloatType, Number(1, 2)));
        AssertCode(ErrorCodes.OnnxTensorSize, ModelWithTensor(Name, Number(2, 22), Number(1, 5), Message(9, new byte[5])));
        AssertCode(ErrorCodes.OnnxTensorSize, ModelWithTensor(Name, Number(2, 7), Number(1, 2), Message(7, [1])));
        AssertCode(ErrorCodes.OnnxTensorSize, ModelWithTensor(Name, Number(2, 8), Number(1, 2), Text(6, "one")));
    }

    [Fact]
    public void Import_of_data_in_a_wrong_field_is_MP1223()
    {
        AssertCode(ErrorCodes.OnnxTensorFields, ModelWithTensor(Name, FloatType, Message(7, [1])));
        AssertCode(ErrorCodes.OnnxTensorFields, ModelWithTensor(Name, FloatType, Message(9, new byte[4]), Message(4, new byte[4])));
        AssertCode(ErrorCodes.OnnxTensorFields, ModelWithTensor(Name, Number(2, 8), Message(9, new byte[4])));
        AssertCode(ErrorCodes.OnnxTensorFields, Model(Message(15, Message(1, Name, FloatType, Message(9, new byte[4])))));
    }

    [Fact]
    public void Import_of_a_segment_is_MP1224() => AssertCode(ErrorCodes.OnnxSegment, ModelWithTensor(Name, FloatType, Message(3, Number(1, 0), Number(2, 4)), Message(9, new byte[4])));

    [Fact]
    public void Export_of_a_checkpoint_is_MP1250()
    {
        var checkpoint = new Model { Kind = ModelKind.Checkpoint, Graph = new Graph { Initializers = [Tensor.Raw("w", DType.U8, new Shape(1), TensorData.FromBytes(new byte[1]))] } };
        Assert.Equal(ErrorCodes.OnnxExportNoGraph, Assert.Throws<ModelPackException>(() => OnnxModelWriter.WriteWeightless(checkpoint, _ => false)).Code);
    }

    [Fact]
    public void Export_of_a_dtype_without_onnx_number_is_MP1220()
    {
        Model model = WithWeight(Tensor.Raw("w", DType.F6E2M3, new Shape(4), TensorData.FromBytes(new byte[3])));
        Assert.Equal(ErrorCodes.OnnxDType, Assert.Throws<ModelPackException>(() => OnnxModelWriter.WriteWeightless(model, _ => false)).Code);
    }

    [Fact]
    public void Export_of_dense_bytes_of_another_size_is_MP1222()
    {
        Model model = WithWeight(Tensor.Raw("w", DType.F32, new Shape(4), TensorData.FromBytes(new byte[16])));
        Assert.Equal(ErrorCodes.OnnxTensorSize, Assert.Throws<ModelPackException>(() => OnnxModelWriter.WriteWeightless(model, _ => false, _ => TensorData.FromBytes(new byte[15]))).Code);
    }

    [Fact]
    public void Errors_name_tensor_and_dtype()
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => OnnxModelReader.Read(TensorData.FromBytes(OnnxModels.Model(new GraphProto { Initializer = { OnnxModels.Raw("weight", DataType.Float16, [64, 64], new byte[4096]) } }).ToBytes())));
        Assert.Equal("modelpack: error MP1222: tensor 'weight': f16[64,64] needs 8192 bytes but has 4096", e.Line);
    }

    private static Model WithWeight(Tensor weight) => new() { Kind = ModelKind.Onnx, Graph = new Graph { Initializers = [weight] } };

    private static void AssertCode(ErrorCode code, byte[] model) => OnnxWireTests.AssertCode(code, model);
}
