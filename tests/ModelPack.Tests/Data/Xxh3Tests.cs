using System.IO.Hashing;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Data;

public sealed class Xxh3Tests
{
    [Fact]
    public void EveryLengthHashesAsTheLibraryDoes()
    {
        byte[] bytes = Bytes(5000);
        for (int length = 0; length <= bytes.Length; length++)
        {
            using PoisonBuffer guarded = PoisonBuffer.Copy<byte>(bytes.AsSpan(0, length));
            Assert.True(XxHash3.HashToUInt64(bytes.AsSpan(0, length)) == Xxh3.Hash64(guarded.GetSpan()), $"length {length}");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(240)]
    [InlineData(241)]
    [InlineData(1024)]
    [InlineData(1025)]
    [InlineData(70_000)]
    [InlineData(1 << 20)]
    public void AHashThatFollowsAWriterDoesNotDependOnItsSteps(int length)
    {
        byte[] bytes = Bytes(length);
        ulong expected = XxHash3.HashToUInt64(bytes);
        for (int step = 1; step <= length; step = (step * 3) + 1)
        {
            byte[] target = new byte[length];
            var hash = new RunningXxh3(target);
            for (int at = 0; at < length; at += step)
            {
                int end = Math.Min(length, at + step);
                bytes.AsSpan(at..end).CopyTo(target.AsSpan(at));
                hash.Advance(end);
            }

            Assert.True(expected == hash.Finish(), $"step {step}");
        }
    }

    [Fact]
    public void LongInputsHashAsTheLibraryDoes()
    {
        byte[] bytes = Bytes(3 << 20);
        for (int start = 0; start < 70; start++)
        {
            ReadOnlySpan<byte> part = bytes.AsSpan(start, bytes.Length - start - (start * 977));
            Assert.Equal(XxHash3.HashToUInt64(part), Xxh3.Hash64(part));
        }
    }

    private static byte[] Bytes(int length)
    {
        byte[] bytes = new byte[length];
        new SplitMix(7).Fill(bytes);
        return bytes;
    }
}
