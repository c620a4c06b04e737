using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>All streams of a file with one element type and role.</summary>
/// <param name="Type">Element type.</param>
/// <param name="Role"><c>values</c>, or the role of a stream of a number format.</param>
/// <param name="Tensors">The bytes of each stream; none is empty.</param>
internal sealed record CodecData(DType Type, string Role, List<byte[]> Tensors)
{
    public long Bytes { get; } = Tensors.Sum(t => (long)t.Length);

    /// <summary>Reads the streams of a file, of each kind up to a number of bytes: later streams are cut or left out.</summary>
    /// <exception cref="ModelPackException">The file is damaged.</exception>
    public static List<CodecData> Of(TensorFile file, long mostBytes, CancellationToken cancellation)
    {
        var kinds = new Dictionary<(DType, string), List<byte[]>>();
        var sizes = new Dictionary<(DType, string), long>();
        foreach (TensorFile.Entry entry in file.Tensors)
        {
            foreach ((DType type, string role, TensorData data) in Streams(entry, file.Reader))
            {
                cancellation.ThrowIfCancellationRequested();
                long room = mostBytes - sizes.GetValueOrDefault((type, role));
                int length = (int)Math.Min(Math.Min(room, data.LengthBytes), int.MaxValue & ~63);
                if (length <= 0)
                {
                    continue;
                }

                byte[] bytes = new byte[length];
                data.Read(0, bytes);
                sizes[(type, role)] = sizes.GetValueOrDefault((type, role)) + length;
                if (!kinds.TryGetValue((type, role), out List<byte[]>? tensors))
                {
                    kinds.Add((type, role), tensors = []);
                }

                tensors.Add(bytes);
            }
        }

        return [.. kinds.Select(k => new CodecData(k.Key.Item1, k.Key.Item2, k.Value))];
    }

    private static IEnumerable<(DType Type, string Role, TensorData Data)> Streams(TensorFile.Entry entry, PackReader? reader) =>
        entry.Packed is PackTensor packed && reader is not null
            ? packed.Streams.Select(s => (s.Stream.ElementType, s.Role, s.Stream.Data))
            : entry.Encoding is DenseEncoding dense && DTypes.TryParse(dense.Format.Id, out DType type)
                ? [(type, "values", dense.Streams[0].Data)]
                : [];
}
