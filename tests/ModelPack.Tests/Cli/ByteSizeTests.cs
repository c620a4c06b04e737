using ModelPack.Cli;
using Xunit;

namespace ModelPack.Tests.Cli;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("2GB", 2_000_000_000)]
    [InlineData("1.5GB", 1_500_000_000)]
    [InlineData("512MiB", 536_870_912)]
    [InlineData("512 MiB", 536_870_912)]
    [InlineData("512M", 536_870_912)]
    [InlineData("1gb", 1_000_000_000)]
    [InlineData("100kb", 100_000)]
    [InlineData("4096", 4096)]
    [InlineData("4096B", 4096)]
    [InlineData("0", 0)]
    [InlineData("8388607TiB", 9_223_370_937_343_148_032)]
    public void TryParse_reads_sizes(string text, long expected)
    {
        Assert.True(ByteSize.TryParse(text, out long bytes));
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("GB")]
    [InlineData("-1GB")]
    [InlineData("2XB")]
    [InlineData("2 G B")]
    [InlineData("1e9")]
    [InlineData("0x10")]
    [InlineData("8388608TiB")]
    [InlineData("99999999999999999999999999999TB")]
    [InlineData("1,5GB")]
    public void TryParse_rejects_what_is_no_size(string text) => Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "1.00 kB")]
    [InlineData(9_994, "9.99 kB")]
    [InlineData(9_995, "10.0 kB")]
    [InlineData(16_785_920, "16.8 MB")]
    [InlineData(99_949, "99.9 kB")]
    [InlineData(99_951, "100 kB")]
    [InlineData(999_600, "1.00 MB")]
    [InlineData(123e15, "123 PB")]
    public void Format_keeps_three_digits(double bytes, string expected) => Assert.Equal(expected, ByteSize.Format(bytes));
}
