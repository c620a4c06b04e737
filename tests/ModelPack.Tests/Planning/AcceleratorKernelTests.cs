using ModelPack.Compiler.Planning;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Planning;

/// <summary>Which kernels of other runtimes plans name for machines that we have none for.</summary>
public sealed class AcceleratorKernelTests
{
    [Theory]
    [InlineData("h100", "int4(block=128)", 4096, 4096, "vllm:Machete")]
    [InlineData("h100", "int4(block=32)", 4096, 4096, "vllm:Marlin")]
    [InlineData("a100", "int4(block=128,symmetric=false)", 4096, 4096, "vllm:Marlin")]
    [InlineData("a100", "int8(block=row)", 4096, 4096, "vllm:Marlin")]
    [InlineData("a100", "int4(block=256)", 4096, 4096, "ort:CUDA MatMulNBits")]
    [InlineData("a100", "int4(block=32)", 100, 96, "ort:CUDA MatMulNBits")]
    [InlineData("a100", "int4(block=96)", 4096, 4096, null)]
    [InlineData("a100", "int3(block=32)", 4096, 4096, null)]
    [InlineData("mi300x", "int4(block=128)", 4096, 4096, null)]
    [InlineData("h100", "fp8", 4096, 4096, "vllm:CUTLASS FP8")]
    [InlineData("a100", "fp8", 4096, 4096, "vllm:Marlin")]
    [InlineData("mi300x", "fp8", 4096, 4096, "vllm:hipBLASLt FP8")]
    [InlineData("gaudi2", "fp8", 4096, 4096, "vllm:INC FP8")]
    [InlineData("h100", "fp8(element=e5m2)", 4096, 4096, null)]
    [InlineData("h100", "nvfp4", 4096, 4096, "vllm:Marlin")]
    [InlineData("mi300x", "mxfp4", 4096, 4096, null)]
    [InlineData("h100", "nf4", 4096, 4096, "vllm:bitsandbytes")]
    [InlineData("h100", "posit8", 4096, 4096, null)]
    [InlineData("gaudi3", "bf16", 4096, 4096, "vllm:Gaudi")]
    public void A_format_needs_a_family_of_kernels(string machine, string format, long rows, long columns, string? kernel)
    {
        AcceleratorKernel found = AcceleratorKernels.Of(HardwareProfiles.Load(machine), new DenseEncoding(UnitSpec.Parse(format), new Shape(rows, columns), []));

        Assert.Equal(kernel, found.Kernel);
        Assert.NotEmpty(found.Reason);
    }

    [Fact]
    public void Plans_for_a_gpu_name_the_runtime_and_refuse_what_none_executes()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder().Input("x", OnnxBuilder.Float, "m", 256).Output("y", OnnxBuilder.Float, "m", 256)
            .Initializer("first", Values.Weights(1, 256 * 256), 256, 256).Initializer("w", Values.Weights(2, 256 * 256), 256, 256).Initializer("last", Values.Weights(3, 256 * 256), 256, 256)
            .Node("MatMul", ["x", "first"], ["a"]).Node("Tanh", ["a"], ["b"]).Node("MatMul", ["b", "w"], ["c"]).Node("Tanh", ["c"], ["d"]).Node("MatMul", ["d", "last"], ["y"]).Build());
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int4(block=128)", Profile = "h100" });

        ExplainedNode node = Assert.Single(Inspection.Explain(artifact).Nodes, n => n.Tensor == "w");
        Assert.StartsWith("modelpack:PackedMatMul", node.Kernel, StringComparison.Ordinal);
        Assert.Contains(node.Alternatives, a => a.Kernel == "vllm:Machete" && a.Reason.StartsWith("what runs it on h100 after an export", StringComparison.Ordinal));
        Assert.Equal("vllm:Machete", node.Accelerator!.Kernel);

        // The same artifact elsewhere.
        Assert.Equal("none", Assert.Single(Inspection.Explain(artifact, HardwareProfiles.Load("mi300x")).Nodes, n => n.Tensor == "w").Accelerator!.Kernel);
        Assert.Null(Assert.Single(Inspection.Explain(artifact, HardwareProfiles.Load("x64-server")).Nodes, n => n.Tensor == "w").Accelerator);

        ModelPackException refused = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["p.mpack"], Recipe = "posit8", Profile = "h100" }));
        Assert.Equal(ErrorCodes.NoAcceleratorKernel, refused.Code);
        Assert.Contains("on h100", refused.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["p.mpack"]));
    }
}
