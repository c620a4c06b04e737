using System.Runtime.InteropServices;
using ModelPack.Kernels;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Moving memory into large pages changes no byte of it, and is refused without harm.</summary>
public sealed unsafe class HugePagesTests
{
    [Fact]
    public void Contents_stay_and_only_whole_large_pages_count()
    {
        const int bytes = 9 << 20;
        byte* memory = (byte*)NativeMemory.AlignedAlloc(bytes, 4096);
        try
        {
            for (int i = 0; i < bytes; i++)
            {
                memory[i] = (byte)((i * 7) ^ (i >> 12));
            }

            long moved = HugePages.Use((nint)memory + 64, bytes - 64);

            Assert.True(moved is 0 or (>= 6 << 20 and <= 8 << 20), $"{moved}");
            Assert.Equal(0, moved % (2 << 20));
            for (int i = 0; i < bytes; i++)
            {
                Assert.True(memory[i] == (byte)((i * 7) ^ (i >> 12)));
            }
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(4096, 1 << 20)]
    public void Nothing_happens_below_a_large_page(long start, long bytes) => Assert.Equal(0, HugePages.Use((nint)start, bytes));

    [Fact]
    public void Memory_that_is_not_there_is_refused() => Assert.Equal(0, HugePages.Use(4 << 20, 8 << 20));
}
