using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>What runs a weight on a GPU or accelerator.</summary>
/// <param name="Kernel">Runtime and family of kernels, as <c>vllm:Marlin</c>; null when no runtime executes it.</param>
/// <param name="Reason">What is known about it, or why there is none.</param>
public sealed record AcceleratorKernel(string? Kernel, string Reason);

/// <summary>
/// Which family of kernels of which runtime executes a weight on machines that this project has no kernels for: their plans say where an export of the artifact runs. Sources: vLLM, Quantization, Supported Hardware (0.14) and FP8
/// W8A8 (0.32); ONNX Runtime's operator MatMulNBits; compressed-tensors' formats. Nothing here was run.
/// </summary>
public static class AcceleratorKernels
{
    private const string Nvidia = "sm";

    private const string Hopper = "sm90";

    private const string Amd = "gfx942";

    /// <summary>True for machines whose kernels are those of other runtimes.</summary>
    public static bool Concerns(HardwareProfile profile) => profile.Kind != "cpu";

    /// <summary>The same for a product of a plan; null for other nodes.</summary>
    /// <exception cref="ModelPackException">MP3003: no runtime executes it.</exception>
    internal static RejectedKernel? Named(Node node, Tensor tensor, PlanContext context)
    {
        if (context.Options.Profile is not HardwareProfile profile || !Concerns(profile) || (!node.Is("MatMul") && !node.Is("Gemm")))
        {
            return null;
        }

        AcceleratorKernel kernel = Of(profile, tensor.Encoding);
        return kernel.Kernel is null
            ? throw new ModelPackException(ErrorCodes.NoAcceleratorKernel, $"on {profile.Name}: {kernel.Reason}", tensor: tensor.Name)
            : new RejectedKernel(kernel.Kernel, $"what runs it on {profile.Name} after an export: {kernel.Reason}");
    }

    /// <summary>What multiplies with a weight there.</summary>
    /// <param name="profile">The machine.</param>
    /// <param name="encoding">How the weight is stored.</param>
    public static AcceleratorKernel Of(HardwareProfile profile, WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => Of(profile, dense),
        StructuredEncoding { Components: [var inner] } s when s.Structure.Id is "permuted" or "reshaped" => Of(profile, inner),
        StructuredEncoding s => new AcceleratorKernel(null, $"no runtime reads the structure {s.Structure.Id} there: export it dense"),
        _ => new AcceleratorKernel(null, "no runtime reads it there"),
    };

    private static AcceleratorKernel Of(HardwareProfile profile, DenseEncoding dense)
    {
        string isa = profile.Isa.FirstOrDefault("");
        bool nvidia = isa.StartsWith(Nvidia, StringComparison.Ordinal);
        UnitSpec format = dense.Format;
        if (DTypes.TryParse(format.Id, out DType dtype) && !dtype.Name().StartsWith("f8", StringComparison.Ordinal))
        {
            return dtype is DType.F32 or DType.F16 or DType.BF16
                ? new AcceleratorKernel(nvidia ? "ort:CUDA MatMul" : isa == Amd ? "vllm:hipBLASLt" : "vllm:Gaudi", "plain numbers; every runtime multiplies them")
                : new AcceleratorKernel(null, $"no runtime multiplies {format.Id} there");
        }

        return format.Id switch
        {
            "int4" or "int8" when dense.Shape.Rank == 2 => Integers(dense, isa, nvidia),
            "fp8" or "f8e4m3fn" => Fp8(format, isa, nvidia),
            "nvfp4" or "mxfp4" when nvidia => new AcceleratorKernel("vllm:Marlin", $"{format.Id} weights with f16 activations; arithmetic on 4-bit floats begins with sm100"),
            "nf4" when nvidia && format.Int("block", 64, 1, 1 << 20) == 64 => new AcceleratorKernel("vllm:bitsandbytes", "NF4 in blocks of 64, for lack of anything faster"),
            _ => new AcceleratorKernel(null, $"no runtime has kernels for {UnitSpec.Shorten(format.ToString())} on {profile.Name}"),
        };
    }

    /// <summary>Weights of 4 and 8 bits in blocks: Marlin has blocks of 32, 64 and 128 and whole rows, Machete of 128 and whole rows, MatMulNBits powers of two from 16 to 256.</summary>
    private static AcceleratorKernel Integers(DenseEncoding dense, string isa, bool nvidia)
    {
        if (BlockWeight.Of(dense) is not BlockWeight weight)
        {
            return new AcceleratorKernel(null, "kernels there want integer zero points and packed codes");
        }

        if (!nvidia)
        {
            return new AcceleratorKernel(null, isa == Amd ? "vLLM has no kernels for integer weights in blocks on AMD: FP8 is what it multiplies there" : "runtimes for Gaudi multiply FP8, not integers in blocks");
        }

        bool row = weight.Block == weight.Columns;
        bool fits = weight.Columns % 128 == 0 && weight.Rows % 64 == 0;
        string symmetry = weight.Symmetric ? "" : " with zero points";
        if (fits && isa == Hopper && (row || weight.Block == 128) && weight.Rows % 128 == 0)
        {
            return new AcceleratorKernel("vllm:Machete", string.Create(CultureInfo.InvariantCulture, $"{weight.Bits}-bit weights{symmetry}, f16 activations, made for sm90; others: vllm:Marlin, ort:CUDA MatMulNBits"));
        }

        if (fits && (row || weight.Block is 32 or 64 or 128))
        {
            return new AcceleratorKernel("vllm:Marlin", string.Create(CultureInfo.InvariantCulture, $"{weight.Bits}-bit weights{symmetry} in {(row ? "whole rows" : $"blocks of {weight.Block}")}, f16 activations{(row ? "" : "; others: ort:CUDA MatMulNBits")}"));
        }

        return weight.Block is 16 or 32 or 64 or 128 or 256
            ? new AcceleratorKernel("ort:CUDA MatMulNBits", fits ? "Marlin has no such blocks" : "Marlin wants inputs in multiples of 128 and outputs in multiples of 64")
            : new AcceleratorKernel(null, string.Create(CultureInfo.InvariantCulture, $"no runtime has kernels for blocks of {weight.Block} there"));
    }

    private static AcceleratorKernel Fp8(UnitSpec format, string isa, bool nvidia)
    {
        string element = format.Text("element", "e4m3fn");
        if (element != "e4m3fn" && !(element == "e4m3fnuz" && isa == Amd) && !(element == "e4m3" && isa.StartsWith("gaudi", StringComparison.Ordinal)))
        {
            return new AcceleratorKernel(null, $"runtimes multiply weights of E4M3 there, not of {element}");
        }

        if (nvidia)
        {
            return isa == Hopper
                ? new AcceleratorKernel("vllm:CUTLASS FP8", "weights and activations in FP8; TensorRT has the same")
                : new AcceleratorKernel("vllm:Marlin", "FP8 weights with f16 activations: arithmetic on FP8 begins with sm89");
        }

        return isa == Amd
            ? new AcceleratorKernel("vllm:hipBLASLt FP8", element == "e4m3fnuz" ? "weights and activations in FP8" : "weights and activations in FP8; at load E4M3 becomes E4M3FNUZ with scales twice as large")
            : new AcceleratorKernel("vllm:INC FP8", isa == "gaudi2" ? "Gaudi 2's E4M3 ends at 240: scales must keep weights below it" : "weights and activations in FP8");
    }
}
