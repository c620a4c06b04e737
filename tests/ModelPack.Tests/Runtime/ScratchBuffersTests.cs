using ModelPack.Runtime.Native;
using Xunit;

namespace ModelPack.Tests.Runtime;

public sealed class ScratchBuffersTests
{
    [Theory]
    [InlineData(100)]
    [InlineData(262_143)]
    [InlineData(262_144)]
    [InlineData(3_000_001)]
    [InlineData(40L << 20)]
    public void Rented_buffers_are_long_enough_and_nobody_elses(long lengthBytes)
    {
        WeightBuffer[] buffers = [.. Enumerable.Range(0, 3).Select(_ => ScratchBuffers.Rent(lengthBytes))];
        for (int i = 0; i < buffers.Length; i++)
        {
            Assert.True(buffers[i].LengthBytes >= lengthBytes);
            Assert.Equal(0, buffers[i].Address % 64);
            buffers[i].Slice(0, (int)lengthBytes).Fill((byte)(i + 1));
        }

        for (int i = 0; i < buffers.Length; i++)
        {
            Assert.Equal(-1, buffers[i].Slice(0, (int)lengthBytes).IndexOfAnyExcept((byte)(i + 1)));
            ScratchBuffers.Return(buffers[i]);
        }

        ScratchBuffers.Clear();
        Assert.All(buffers, b => Assert.True(b.Address == 0 || b.LengthBytes <= 16 << 20));
    }

    [Fact]
    public void Large_buffers_are_freed_when_they_are_returned()
    {
        WeightBuffer buffer = ScratchBuffers.Rent(17 << 20);
        buffer.Slice((17 << 20) - 1, 1).Fill(1);
        ScratchBuffers.Return(buffer);
        Assert.Equal(0, buffer.Address);
    }
}
