using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>What <c>bench kernels</c> measures; not how fast it is.</summary>
public sealed class KernelBenchmarkTests
{
    [Fact]
    public void Every_kernel_of_a_format_is_measured_beside_those_of_onnx_runtime()
    {
        BenchKernelsResult result = KernelBenchmark.Run(new KernelBenchmarkOptions { Rows = 300, Columns = 64, Batch = 3, Threads = 2, Formats = ["int4", "fp8"] });

        Assert.Equal(
            ["modelpack:PackedMatMul(int4,f32)", "modelpack:PackedMatMul(int4,int8)", "modelpack:PackedMatMul(fp8,f32)", "modelpack:PackedMatMul(fp8,bf16)", "ort:MatMul", "ort:MatMulNBits(bits=4,block=32,level=0)", "ort:MatMulNBits(bits=4,block=32,level=4)"],
            result.Results.Select(r => r.Kernel));
        Assert.Equal(300 * 64 * 4, result.Results[4].WeightBytes);
        Assert.All(result.Results, r => Assert.All(new[] { r.One, r.Many }, time =>
        {
            Assert.True(time.Milliseconds > 0);
            Assert.Equal(3 * 300 * 64, time.GigaMultiplications * time.Milliseconds * 1e6, 1e-3);
            Assert.Equal(r.WeightBytes, time.Gbps * time.Milliseconds * 1e6, 1e-3);
        }));
    }

    [Fact]
    public void Sparse_kernels_are_measured_beside_all_blocks_and_onnx_runtime()
    {
        BenchKernelsResult result = KernelBenchmark.Run(new KernelBenchmarkOptions
        {
            Rows = 96,
            Columns = 64,
            Batch = 2,
            Threads = 2,
            Formats = ["f32", "mxfp4"],
            Sparsity = [50],
            SparseBlock = "16x32",
            Enough = TimeSpan.FromMilliseconds(10),
        });

        Assert.Equal(
            [("modelpack:SparseMatMul(16x32,f32)", 0), ("modelpack:SparseMatMul(16x32,f32)", 50), ("modelpack:SparseMatMul(16x32,mxfp4)", 50), ("ort:MatMul", 0)], result.Results.Select(r => (r.Kernel, r.Sparsity)));
        Assert.Equal(96 * 64 * 4, result.Results[0].WeightBytes);
        Assert.Equal(96 * 64 * 2, result.Results[1].WeightBytes);
        Assert.All(result.Results, r => Assert.True(r.One.Milliseconds > 0 && r.Many.Milliseconds > 0));
    }

    [Fact]
    public void Gated_perceptrons_are_timed_beside_their_parts()
    {
        BenchKernelsResult result = KernelBenchmark.Run(new KernelBenchmarkOptions { Rows = 96, Columns = 64, Batch = 3, Threads = 2, Formats = ["bf16"], Sparsity = [50], Gated = true, Enough = TimeSpan.Zero });

        Assert.Equal([("modelpack:GatedMlp(32x32,bf16)", 50), ("modelpack:SparseMatMul(32x32,bf16) x 3", 50)], result.Results.Select(r => (r.Kernel, r.Sparsity)));
        Assert.All(result.Results, r => Assert.True(r.One.Milliseconds > 0 && r.Many.Milliseconds > 0 && r.WeightBytes >= 3 * 96 * 64));
    }

    [Theory]
    [InlineData("3x3x3", "f32")]
    [InlineData("32", "f32")]
    [InlineData("4x4", "mxfp4")]
    public void A_block_without_kernel_is_refused(string block, string format) =>
        Assert.Equal("MP1022", Assert.Throws<ModelPackException>(() => KernelBenchmark.Run(new KernelBenchmarkOptions { Rows = 16, Columns = 64, Formats = [format], Sparsity = [50], SparseBlock = block })).Code.ToString());

    [Theory]
    [InlineData("int9", "MP1021")]
    [InlineData("int4(block=7)", "MP1022")]
    [InlineData("f32", "MP1022")]
    [InlineData("gguf-q4_k", "MP1022")]
    public void A_format_without_kernel_is_refused_before_anything_is_measured(string format, string code)
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => KernelBenchmark.Run(new KernelBenchmarkOptions { Rows = 16, Columns = 256, Formats = ["int4", format] }));

        Assert.Equal(code, error.Code.ToString());
    }

    [Fact]
    public void A_cancelled_run_stops()
    {
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();

        Assert.Throws<OperationCanceledException>(() => KernelBenchmark.Run(new KernelBenchmarkOptions { Rows = 16, Columns = 32, Formats = ["int4"] }, cancellation: cancelled.Token));
    }
}
