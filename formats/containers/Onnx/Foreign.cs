using Google.Protobuf;
using ModelPack.Compiler;

namespace ModelPack.Containers.Onnx;

/// <summary>Remainders: a message from which the modelled fields were cleared, in serialised form.</summary>
internal static class Foreign
{
    /// <summary>The remainder of <paramref name="message"/>: default when nothing is left.</summary>
    public static ForeignFields Of(IMessage message) => message.CalculateSize() == 0 ? default : new ForeignFields(message.ToByteArray());

    /// <summary>A message that starts from a remainder.</summary>
    public static T Parse<T>(ForeignFields foreign, MessageParser<T> parser)
        where T : IMessage<T> => parser.ParseFrom(foreign.Bytes.Span);
}
