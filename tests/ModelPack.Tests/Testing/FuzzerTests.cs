using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Testing;

public sealed class FuzzerTests
{
    private static readonly byte[] Original = [.. Enumerable.Range(0, 300).Select(i => (byte)i)];

    [Fact]
    public void Apply_same_seed_gives_same_bytes()
    {
        for (ulong seed = 0; seed < 500; seed++)
        {
            Mutation a = Mutations.Apply(Original, seed, hotBytes: 40);
            Assert.Equal(a.Bytes, Mutations.Apply(Original, seed, hotBytes: 40).Bytes);
        }
    }

    [Fact]
    public void Apply_many_seeds_almost_always_changes_something()
    {
        int changed = 0;
        for (ulong seed = 0; seed < 1000; seed++)
        {
            changed += Mutations.Apply(Original, seed).Bytes.AsSpan().SequenceEqual(Original) ? 0 : 1;
        }

        Assert.InRange(changed, 950, 1000);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void Apply_tiny_input_does_not_fail(int length)
    {
        for (ulong seed = 0; seed < 2000; seed++)
        {
            Assert.NotEmpty(Mutations.Apply(Original.AsSpan(0, length), seed).Description);
        }
    }

    [Fact]
    public void Fuzz_counts_accepted_and_rejected()
    {
        FuzzReport report = Fuzzer.Fuzz(Original, 200, bytes =>
        {
            if (bytes.Length != Original.Length)
            {
                throw new ModelPackException(ErrorCodes.FileTruncated, "other length");
            }
        });
        Assert.True(report.Accepted > 0);
        Assert.True(report.Rejected[ErrorCodes.FileTruncated] > 0);
        Assert.Equal(200, report.Accepted + report.RejectedCount);
    }

    [Fact]
    public void Fuzz_other_exception_names_the_seed()
    {
        var e = Assert.Throws<FuzzFailureException>(() => Fuzzer.Fuzz(Original, 5, _ => throw new InvalidOperationException("boom"), firstSeed: 77));
        Assert.Contains("seed 77", e.Message, StringComparison.Ordinal);
        Assert.Contains("boom", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Fuzz_hanging_case_fails()
    {
        using var release = new ManualResetEventSlim();
        var e = Assert.Throws<FuzzFailureException>(() => Fuzzer.Fuzz(Original, 3, _ => release.Wait(), timeoutPerCase: TimeSpan.FromMilliseconds(100)));
        release.Set();
        Assert.Contains("did not end", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Fuzz_excessive_allocation_fails()
    {
        var e = Assert.Throws<FuzzFailureException>(() => Fuzzer.Fuzz(Original, 3, b => GC.KeepAlive(new byte[(1 << 20) + b.Length]), allocationLimitBytes: 1 << 20));
        Assert.Contains("allocated", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_sparse_file_has_length_and_pieces()
    {
        using var folder = new TempFolder();
        SparseFile.Create(folder["big"], 5L << 30, ((4L << 30) + 3, [1, 2, 3]));
        using MappedFile file = MappedFile.Open(folder["big"]);
        Assert.Equal(5L << 30, file.LengthBytes);
        byte[] read = new byte[5];
        file.Read((4L << 30) + 2, read);
        Assert.Equal([0, 1, 2, 3, 0], read);
    }

    [Fact]
    public void Dispose_removes_the_folder()
    {
        string path;
        using (var folder = new TempFolder())
        {
            path = folder.Path;
            folder.Write("a/b.txt", "x");
            Assert.True(File.Exists(folder["a/b.txt"]));
        }

        Assert.False(Directory.Exists(path));
    }
}
