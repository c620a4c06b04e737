using System.Globalization;
using ModelPack.Containers.Onnx.Schema;
using Proto = ModelPack.Containers.Onnx.Schema.TensorProto.Types;

namespace ModelPack.Containers.Onnx;

/// <summary>Where the bytes of each tensor go: into the message, or to an external file at an aligned offset.</summary>
internal sealed class DataPlan
{
    /// <summary>Page size: offsets that are multiples of it can be mapped.</summary>
    public const long AlignmentBytes = 4096;

    private readonly List<TensorData> _inline = [];
    private readonly List<(long OffsetBytes, TensorData Data)> _external = [];

    /// <summary>Data for <see cref="ModelExpander"/>, by index.</summary>
    public IReadOnlyList<TensorData> Inline => _inline;

    /// <summary>Contents of the external file, ascending.</summary>
    public IReadOnlyList<(long OffsetBytes, TensorData Data)> External => _external;

    /// <summary>Length of the external file so far.</summary>
    public long ExternalBytes { get; private set; }

    /// <summary>Puts the data into the message.</summary>
    public void PutInline(TensorProto proto, DType dtype, TensorData data)
    {
        if (dtype == DType.String && data.LengthBytes == 0)
        {
            return; // no elements: string_data stays empty
        }

        int field = dtype == DType.String ? OnnxSchema.StringData : OnnxSchema.RawData;
        proto.ModelpackRanges.Add(new Proto.DataRange { Field = field, Offset = _inline.Count });
        _inline.Add(data);
    }

    /// <summary>Puts the data into the external file called <paramref name="location"/>.</summary>
    public void PutExternal(TensorProto proto, string location, TensorData data)
    {
        long offset = (ExternalBytes + AlignmentBytes - 1) / AlignmentBytes * AlignmentBytes;
        Refer(proto, location, offset, data.LengthBytes);
        _external.Add((offset, data));
        ExternalBytes = offset + data.LengthBytes;
    }

    /// <summary>Makes <paramref name="proto"/> refer to external bytes.</summary>
    public static void Refer(TensorProto proto, string location, long offsetBytes, long lengthBytes)
    {
        proto.ExternalData.Clear();
        proto.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = location });
        proto.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = offsetBytes.ToString(CultureInfo.InvariantCulture) });
        proto.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = lengthBytes.ToString(CultureInfo.InvariantCulture) });
        proto.DataLocation = Proto.DataLocation.External;
    }
}
