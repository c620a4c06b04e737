using System.Text;

namespace ModelPack.Tests.Onnx;

/// <summary>Hand-made protobuf: for files that no serialiser would write.</summary>
internal static class Wire
{
    public static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }

        bytes.Add((byte)value);
        return [.. bytes];
    }

    public static byte[] Tag(int field, int wireType) => Varint(((ulong)(uint)field << 3) | (uint)wireType);

    public static byte[] Number(int field, ulong value) => [.. Tag(field, 0), .. Varint(value)];

    public static byte[] Message(int field, params byte[][] parts)
    {
        byte[] body = Join(parts);
        return [.. Tag(field, 2), .. Varint((ulong)body.Length), .. body];
    }

    public static byte[] Text(int field, string text) => Message(field, Encoding.UTF8.GetBytes(text));

    public static byte[] Join(params byte[][] parts) => [.. parts.SelectMany(p => p)];

    /// <summary>A model with these graph fields.</summary>
    public static byte[] Model(params byte[][] graph) => Join(Number(1, 8), Message(7, graph), Message(8, Number(2, 17)));

    /// <summary>A model with one initializer of these fields.</summary>
    public static byte[] ModelWithTensor(params byte[][] tensor) => Model(Message(5, tensor));
}
