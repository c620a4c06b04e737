using ModelPack.Compiler.Planning;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

public sealed class KernelTunerTests : IDisposable
{
    private static readonly ProductCandidate Own = new("modelpack:PackedMatMul(int4,f32)", UnitSpec.Parse("int4"), 48, 64, 2);
    private static readonly ProductCandidate Theirs = Own with { Kernel = "ort:MatMulNBits(bits=4,block=32,level=0)" };

    private readonly TempFolder _folder = new();

    [Fact]
    public void Seconds_measuredOnce_isKnownToTheNext()
    {
        KernelTuner first = Tuner(TimeSpan.FromMinutes(1));
        double? own = first.Seconds(Own);
        double? theirs = first.Seconds(Theirs);
        Assert.InRange(own!.Value, 1e-9, 1);
        Assert.InRange(theirs!.Value, 1e-9, 1);
        Assert.Equal(own, first.Seconds(Own));
        Assert.Equal(0, first.Known);
        Assert.True(first.Spent > TimeSpan.Zero);

        // No time at all, and the same answers; also of the other arithmetic, which was measured beside it.
        KernelTuner second = Tuner(TimeSpan.Zero);
        Assert.Equal(own, second.Seconds(Own));
        Assert.Equal(theirs, second.Seconds(Theirs));
        Assert.NotNull(second.Seconds(Own with { Kernel = "modelpack:PackedMatMul(int4,int8)" }));
        Assert.Equal((0, 3, 0), (second.Measured, second.Known, second.Unmeasured));
    }

    [Theory]
    [InlineData("modelpack:SparseMatMul(32x32,f32)", "blocksparse(block=32x32)", "f32")]
    [InlineData("modelpack:SparseMatMul(32x32,int8)", "blocksparse(block=32x32)", "int8(block=32)")]
    [InlineData("modelpack:MaskedMatMul(nm(m=4,n=2),bf16)", "nm(m=4,n=2)", "bf16")]
    [InlineData("modelpack:MaskedMatMul(bitmap,f32)", "bitmap", "f32")]
    public void Seconds_ofSparseProducts_areMeasuredOnce_byStructureAndSparsity(string kernel, string structure, string format)
    {
        var candidate = new ProductCandidate(kernel, UnitSpec.Parse(format), 96, 128, 1) { Structure = UnitSpec.Parse(structure), SparsityPercent = 50 };
        double? first = Tuner(TimeSpan.FromMinutes(1)).Seconds(candidate);
        Assert.InRange(first!.Value, 1e-9, 1);
        Assert.Equal(first, Tuner(TimeSpan.Zero).Seconds(candidate));
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(candidate with { SparsityPercent = 75 }));
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(candidate with { Structure = null, SparsityPercent = 0, Kernel = "modelpack:PackedMatMul(int4,f32)", Format = UnitSpec.Parse("int4") }));
    }

    [Theory]
    [InlineData("blocksparse(block=0x4)", "f32")]
    [InlineData("blocksparse(block=32x32)", "nf4(block=48)")]
    [InlineData("blocksparse(block=32x32)", "nothing")]
    [InlineData("nm(m=4,n=2)", "nothing")]
    public void Seconds_ofASparseWeightThatCannotBeBuilt_isNull(string structure, string format)
    {
        var candidate = new ProductCandidate("modelpack:SparseMatMul", UnitSpec.Parse(format), 96, 128, 1) { Structure = UnitSpec.Parse(structure), SparsityPercent = 50 };
        KernelTuner tuner = Tuner(TimeSpan.FromMinutes(1));
        Assert.Null(tuner.Seconds(candidate));
        TimeSpan spent = tuner.Spent;
        Assert.Null(tuner.Seconds(candidate));
        Assert.Equal((0, 0, 1), (tuner.Measured, tuner.Known, tuner.Unmeasured));
        Assert.Equal(spent, tuner.Spent);
        Assert.NotNull(tuner.Seconds(Own));
    }

    [Fact]
    public void Seconds_withoutTime_isNull()
    {
        KernelTuner tuner = Tuner(TimeSpan.Zero);
        Assert.Null(tuner.Seconds(Own));
        Assert.Null(tuner.Seconds(Own));
        Assert.Equal((0, 0, 1), (tuner.Measured, tuner.Known, tuner.Unmeasured));
    }

    [Fact]
    public void Seconds_otherShapeRowsOrThreads_isAnotherProduct()
    {
        Tuner(TimeSpan.FromMinutes(1)).Seconds(Own);
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(Own with { Rows = 1 }));
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(Own with { Outputs = 64 }));
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(Own with { Format = UnitSpec.Parse("int4(block=16)") }));
        Assert.Null(new KernelTuner(TimeSpan.Zero, 2, _folder.Path, null, default).Seconds(Own));
    }

    [Fact]
    public void Seconds_damagedCache_isMeasuredAgain()
    {
        Tuner(TimeSpan.FromMinutes(1)).Seconds(Own);
        string file = Assert.Single(Directory.GetFiles(_folder.Path));
        File.WriteAllLines(file, File.ReadAllLines(file).Select((l, i) => l[..l.LastIndexOf('\t')] + "\t" + (i == 0 ? "-1" : "NaN")).Append("nothing").Append("\t3"));
        Assert.Null(Tuner(TimeSpan.Zero).Seconds(Own));
        Assert.NotNull(Tuner(TimeSpan.FromMinutes(1)).Seconds(Own));
        Assert.Single(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Keep_benchmark_isKnownToTheTuner()
    {
        var options = new KernelBenchmarkOptions { Rows = 48, Columns = 64, Batch = 2, Threads = 1, Formats = ["int4"], Enough = TimeSpan.FromMilliseconds(1) };
        BenchKernelsResult result = KernelBenchmark.Run(options);
        KernelTuner.Keep(result, _folder.Path);

        KernelTuner tuner = Tuner(TimeSpan.Zero);
        Assert.Equal(result.Results.Single(r => r.Kernel == Own.Kernel).Many.Milliseconds / 1e3, tuner.Seconds(Own));
        Assert.InRange(tuner.Seconds(Theirs)!.Value, 1e-9, result.Results.Single(r => r.Kernel == Theirs.Kernel).Many.Milliseconds / 1e3);
    }

    [Fact]
    public void Seconds_cancelled_throwsAndKeepsNothing()
    {
        using var source = new CancellationTokenSource();
        source.Cancel();
        var tuner = new KernelTuner(TimeSpan.FromMinutes(1), 1, _folder.Path, null, source.Token);
        Assert.Throws<OperationCanceledException>(() => tuner.Seconds(Own));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    public void Dispose() => _folder.Dispose();

    private KernelTuner Tuner(TimeSpan limit) => new(limit, 1, _folder.Path, null, default);
}
