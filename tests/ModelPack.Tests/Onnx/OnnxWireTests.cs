using System.Buffers.Binary;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Onnx.Wire;

namespace ModelPack.Tests.Onnx;

/// <summary>Protobuf as the format allows it, not only as serialisers write it. Google's parser is the oracle.</summary>
public sealed class OnnxWireTests
{
    private static readonly byte[] Name = Text(8, "w");
    private static readonly byte[] FloatType = Number(2, 1);
    private static readonly byte[] Int64Type = Number(2, 7);

    [Fact]
    public void Raw_data_twice_the_last_one_wins() =>
        Assert.Equal([5, 6, 7, 8], OneTensor(ModelWithTensor(Name, FloatType, Message(9, [1, 2, 3, 4]), Message(9, [5, 6, 7, 8]))));

    [Fact]
    public void Message_in_two_parts_is_merged()
    {
        // The graph comes twice, and so does the values tensor of a sparse initializer: dims and ranges of both parts add up.
        byte[] sparse = Message(15, Message(1, Text(8, "s"), FloatType, Number(1, 2), Message(4, Floats(1))), Message(2, Int64Type, Number(1, 2), Message(7, [0, 1])), Message(1, Message(4, Floats(2))), Number(3, 9));
        AssertLikeGoogle(Join(Number(1, 8), Message(7, Text(2, "g"), sparse), Message(7, Message(5, Name, FloatType, Message(9, new byte[4])))));
    }

    [Fact]
    public void Unpacked_typed_data_is_read() =>
        Assert.Equal([.. Floats(1), .. Floats(2), .. Floats(3)], OneTensor(ModelWithTensor(Name, Number(1, 3), FloatType, [.. Tag(4, 5), .. Floats(1)], [.. Tag(4, 5), .. Floats(2)], [.. Tag(4, 5), .. Floats(3)])));

    [Fact]
    public void Packed_and_unpacked_pieces_of_one_field_are_joined_in_order()
    {
        byte[] model = ModelWithTensor(Number(7, 5), Name, Number(7, 6), Number(7, 7), Number(1, 8), Int64Type, Message(7, [1, 2]), Message(7, []), Number(7, 300), Message(7, [3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]));
        byte[] expected = new byte[64];
        foreach ((int i, long value) in new long[] { 5, 6, 7, 1, 2, 300, 3, -1 }.Index())
        {
            BinaryPrimitives.WriteInt64LittleEndian(expected.AsSpan(8 * i), value);
        }

        Assert.Equal(expected, OneTensor(model));
        AssertLikeGoogle(model);
    }

    [Fact]
    public void Overlong_varints_are_read() =>
        AssertLikeGoogle(Join([0x88, 0x80, 0x00, 0x88, 0x80, 0x00], [0xBA, 0x00, 0x86, 0x80, 0x80, 0x00], Text(2, "four")));

    [Fact]
    public void Unknown_groups_and_odd_wire_types_are_kept() => AssertLikeGoogle(Model(
        Text(2, "g"),
        Join(Tag(99, 3), Number(1, 2), Tag(50, 3), Message(3, [1, 2]), Tag(50, 4), Tag(99, 4)),
        [.. Tag(5, 0), 1], // an initializer that is a number: to protobuf an unknown field
        [.. Tag(2, 5), 1, 2, 3, 4],
        Message(5, Name, FloatType, Message(9, new byte[4]), [.. Tag(9, 0), 77], [.. Tag(4, 1), 1, 2, 3, 4, 5, 6, 7, 8])));

    [Fact]
    public void External_entries_of_a_tensor_that_is_not_external_are_kept() =>
        AssertLikeGoogle(ModelWithTensor(Name, FloatType, Message(9, new byte[4]), Number(14, 0), Message(13, Text(1, "location"), Text(2, "../x"))));

    [Fact]
    public void Deepest_nesting_that_protobuf_reads_is_read()
    {
        // ModelProto is level 0; each If adds three levels.
        byte[] model = Nested(ModelScanner.MaxDepth);
        Assert.NotNull(ModelProto.Parser.ParseFrom(model).Graph);
        Assert.NotNull(OnnxModelReader.Read(TensorData.FromBytes(model)).Graph);
        AssertCode(ErrorCodes.OnnxTooDeep, Nested(ModelScanner.MaxDepth + 1));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(100)]
    [InlineData(50)]
    public void Any_window_position_gives_the_same(int padding)
    {
        // Fields cross the edges of the reader's window at different places.
        byte[] model = ModelWithTensor(Text(12, new string('d', (64 << 10) - padding)), Name, Number(1, 200), Int64Type, Message(7, [.. Enumerable.Range(0, 200).SelectMany(i => Varint((ulong)i << 33))]));
        AssertLikeGoogle(model);
    }

    /// <summary>Messages nested to exactly this depth.</summary>
    internal static byte[] Nested(int depth)
    {
        byte[] body = [];
        for (int level = depth; level > 0; level--)
        {
            body = (level % 3) switch
            {
                1 => Message(level == 1 ? 7 : 6, body), // GraphProto, in the model or in an attribute
                2 => Message(1, body), // NodeProto
                _ => Message(5, body), // AttributeProto
            };
        }

        return Join(Number(1, 8), body);
    }

    internal static void AssertCode(ErrorCode code, byte[] model)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => OnnxModelReader.Read(TensorData.FromBytes(model)));
        Assert.True(e.Code == code, $"{e.Code}: {e.Message}");
    }

    private static byte[] Floats(params float[] values) => [.. values.SelectMany(BitConverter.GetBytes)];

    private static byte[] OneTensor(byte[] model)
    {
        Model read = OnnxModelReader.Read(TensorData.FromBytes(model));
        return OnnxRoundTrip.Dense(Assert.Single(read.Graph.Initializers)).ToArray();
    }

    private static void AssertLikeGoogle(byte[] model)
    {
        using var folder = new TempFolder();
        string source = folder.Write("model.onnx", model);
        OnnxRoundTrip.Copy(source, folder["copy.onnx"]);
        OnnxSemantics.AssertSame(source, folder["copy.onnx"], ignoreIrVersion: true);
    }
}
