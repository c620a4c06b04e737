using System.Text;

namespace ModelPack.Tests.Containers;

/// <summary>Writes GGUF files for tests, right or wrong ones, from the format's description alone.</summary>
internal sealed class GgufBytes
{
    private readonly List<byte[]> _pairs = [];
    private readonly List<(string Name, ulong[] Dims, uint Type, byte[] Bytes, ulong? Offset)> _tensors = [];

    public uint Version { get; set; } = 3;

    public int Alignment { get; set; } = 32;

    public ulong? TensorCount { get; set; }

    public ulong? PairCount { get; set; }

    public GgufBytes Pair(string key, uint type, params byte[] value)
    {
        _pairs.Add([.. Text(key), .. BitConverter.GetBytes(type), .. value]);
        return this;
    }

    public GgufBytes Pair(string key, string value) => Pair(key, 8, Text(value));

    /// <summary>A tensor; its dimensions innermost first, as in the file.</summary>
    public GgufBytes Tensor(string name, ulong[] dims, uint type, byte[] bytes, ulong? offset = null)
    {
        _tensors.Add((name, dims, type, bytes, offset));
        return this;
    }

    public static byte[] Text(string text) => [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public byte[] Build()
    {
        var file = new MemoryStream();
        file.Write("GGUF"u8);
        file.Write(BitConverter.GetBytes(Version));
        file.Write(BitConverter.GetBytes(TensorCount ?? (ulong)_tensors.Count));
        file.Write(BitConverter.GetBytes(PairCount ?? (ulong)_pairs.Count));
        _pairs.ForEach(p => file.Write(p));
        ulong next = 0;
        foreach ((string name, ulong[] dims, uint type, byte[] bytes, ulong? offset) in _tensors)
        {
            file.Write(Text(name));
            file.Write(BitConverter.GetBytes((uint)dims.Length));
            foreach (ulong dim in dims)
            {
                file.Write(BitConverter.GetBytes(dim));
            }

            file.Write(BitConverter.GetBytes(type));
            file.Write(BitConverter.GetBytes(offset ?? next));
            next = Align(next + (ulong)bytes.Length);
        }

        Pad(file);
        foreach ((_, _, _, byte[] bytes, _) in _tensors)
        {
            file.Write(bytes);
            Pad(file);
        }

        return file.ToArray();
    }

    private void Pad(MemoryStream file) => file.Write(new byte[(int)Align((ulong)file.Length) - (int)file.Length]);

    private ulong Align(ulong value) => (value + (ulong)Alignment - 1) / (ulong)Alignment * (ulong)Alignment;
}
