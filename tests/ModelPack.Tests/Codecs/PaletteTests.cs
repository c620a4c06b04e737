using System.Buffers.Binary;
using System.Runtime.InteropServices;
using ModelPack.Codecs;
using ModelPack.Pack;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>The palette codec: every size of palette, its limits, and what a damaged chunk may not do.</summary>
[Trait("Category", "Simd")]
public sealed class PaletteTests
{
    private static readonly ICodec Codec = ModelPack.Codecs.Codecs.Get("palette");

    public static TheoryData<DType, int> Sizes
    {
        get
        {
            var data = new TheoryData<DType, int>();
            foreach (DType type in new[] { DType.F16, DType.F32, DType.F64, DType.I64 })
            {
                foreach (int entries in new[] { 1, 2, 3, 4, 5, 15, 16, 17, 255, 256 })
                {
                    data.Add(type, entries);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void TryDecode_everyLengthAndTail_isTheOriginal(DType type, int entries)
    {
        int width = type.BitsPerElement() / 8;
        for (int length = 1; length < 600; length += length < 80 ? 1 : 37)
        {
            byte[] raw = Words(width, entries, length * width + (length % width));
            byte[] room = new byte[raw.Length + 4096];
            if (!Codec.TryEncode(raw, type, room, out int written))
            {
                Assert.True(raw.Length / width < 2);
                continue;
            }

            using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.AsSpan(0, written));
            using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
            Assert.True(Codec.TryDecode(input.GetSpan(), type, output.GetSpan()));
            Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()));
        }
    }

    [Fact]
    public void TryEncode_257Values_isRefused()
    {
        byte[] raw = MemoryMarshal.AsBytes<int>([.. Enumerable.Range(0, 5000).Select(i => i % 257)]).ToArray();
        Assert.False(Codec.TryEncode(raw, DType.I32, new byte[raw.Length], out _));
    }

    [Fact]
    public void TryEncode_sixteenEquallyFrequentFloats_takesFourBitsEach()
    {
        byte[] raw = MemoryMarshal.AsBytes<float>([.. Enumerable.Range(0, 40_000).Select(i => MathF.Cbrt(i % 16 * 0.1f))]).ToArray();
        byte[] room = new byte[raw.Length];
        Assert.True(Codec.TryEncode(raw, DType.F32, room, out int written));
        Assert.InRange(written, 20_000 * 0.1, 20_000 + 2 + 64 + 1);
    }

    [Fact]
    public void TryEncode_fakeQuantisedWeights_areSmallerThanTheirPlanes()
    {
        byte[] raw = FakeQuantized(100_000);
        byte[] room = new byte[raw.Length];
        Assert.True(Codec.TryEncode(raw, DType.F32, room, out int palette));
        Assert.True(ModelPack.Codecs.Codecs.Get("planes-huffman").TryEncode(raw, DType.F32, room, out int planes));
        Assert.True(palette < planes * 0.7, $"{palette} against {planes}");
        Assert.Equal("palette", StreamCodecs.Choose(CodecLevel.Default, DType.F32, TensorData.FromBytes(raw))?.Id);
    }

    [Fact]
    public void Write_streamWhoseLaterChunksHaveTooManyValues_fallsBackToPlanes()
    {
        // The samples lie in the first and the last of three chunks and between them; a run of other values is nowhere near.
        byte[] raw = FakeQuantized(3 << 18);
        Assert.Equal("palette", StreamCodecs.Choose(CodecLevel.Default, DType.F32, TensorData.FromBytes(raw))?.Id);
        PackSamples.F32(1, 1000).AsSpan(0, 4000).CopyTo(raw.AsSpan((1 << 20) + 300_000));
        using var folder = new TempFolder();
        PackWriter.Write(folder["a.mpack"], PackContent.Empty with { Tensors = [PackSamples.Raw("w", DType.F32, new Shape(3 << 18), raw)] }, new PackOptions());

        using PackReader reader = PackReader.Open(folder["a.mpack"]);
        PackStream stream = reader.Find("w")!.Streams[0].Stream;
        byte[] read = new byte[raw.Length];
        reader.ReadStream(stream, read);
        Assert.Equal(raw, read);
        Assert.True(stream.StoredBytes < raw.Length / 3, $"{stream.StoredBytes} of {raw.Length}");
    }

    [Fact]
    public void TryDecode_malformed_isRefused()
    {
        byte[] raw = Words(4, 5, 4001);
        byte[] room = new byte[raw.Length];
        Assert.True(Codec.TryEncode(raw, DType.F32, room, out int written));
        byte[] good = room[..written];
        byte[] output = new byte[raw.Length];
        Assert.True(Codec.TryDecode(good, DType.F32, output));

        Refused(0, 3); // Width.
        Refused(1, 255); // More entries than the chunk has bytes for them, or other indices.
        Refused(2 + (4 * 5), 3); // Mode.
        byte[] descending = [.. good];
        BinaryPrimitives.WriteUInt32LittleEndian(descending.AsSpan(2 + 4), 0);
        BinaryPrimitives.WriteUInt32LittleEndian(descending.AsSpan(2), 1);
        Assert.False(Codec.TryDecode(descending, DType.F32, output));

        // Indices stored raw: one beyond the palette, and a bit after the last.
        byte[] stored = [4, 4, .. good.AsSpan(2, 20), 0, .. new byte[500], .. raw.AsSpan(4000)];
        Assert.True(Codec.TryDecode(stored, DType.F32, output));
        stored[100] = 5;
        Assert.False(Codec.TryDecode(stored, DType.F32, output));
        byte[] odd = [2, 1, 0, 0, 1, 0, 0, 0b100];
        Assert.False(Codec.TryDecode(odd, DType.F16, new byte[4]));
        odd[^1] = 0b10;
        Assert.True(Codec.TryDecode(odd, DType.F16, new byte[4]));

        void Refused(int at, byte value)
        {
            byte[] bad = [.. good];
            bad[at] = value;
            Assert.False(Codec.TryDecode(bad, DType.F32, output), $"byte {at} = {value}");
        }
    }

    private static byte[] FakeQuantized(int count)
    {
        ReadOnlySpan<float> weights = MemoryMarshal.Cast<byte, float>(PackSamples.F32(9, count));
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = Math.Clamp(MathF.Round(weights[i] * 40), -7, 7) * 0.0173f;
        }

        return MemoryMarshal.AsBytes<float>(values).ToArray();
    }

    private static byte[] Words(int width, int entries, int length)
    {
        byte[] raw = new byte[length];
        byte[] order = PackSamples.Random(entries, length);
        for (int at = 0; at + width <= length; at += width)
        {
            int index = order[at] % entries;
            for (int b = 0; b < width; b++)
            {
                raw[at + b] = (byte)((index * 31) + (b * 7 * index) + (index >> (b & 3)));
            }
        }

        order.AsSpan(0, length % width).CopyTo(raw.AsSpan(length - (length % width)));
        return raw;
    }
}
