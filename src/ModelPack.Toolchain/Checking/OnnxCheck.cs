using System.Numerics;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>An ONNX file for ONNX Runtime, or a folder of ONNX Runtime GenAI.</summary>
/// <remarks>Source: ONNX Runtime, <c>docs/ContribOperators.md</c> and <c>qdq_selectors.cc</c> (ValidateDQForMatMulNBits).</remarks>
internal static class OnnxCheck
{
    private const string Contrib = "com.microsoft";

    /// <summary>What ONNX Runtime 1.23 and later read.</summary>
    private const long NewestIr = 13;

    public static (string Format, int Tensors) Run(string path, Findings findings, CancellationToken cancellation)
    {
        Action<Model> genAi = _ => { };
        if (Directory.Exists(path))
        {
            if (GenAiCheck.Run(path, findings, out genAi) is not string file)
            {
                return ("none", 0);
            }

            path = file;
        }

        IContainer container = Containers.Containers.Get("onnx");
        if (!container.Recognizes(path))
        {
            findings.Error("wrong-kind", "ONNX Runtime loads .onnx files");
            return ("none", 0);
        }

        try
        {
            using ImportedModel imported = container.Import(path, cancellation);
            genAi(imported.Model);
            return Run(imported.Model, findings, cancellation);
        }
        catch (ModelPackException e)
        {
            findings.Error(e);
            return ("unknown", 0);
        }
    }

    private static (string Format, int Tensors) Run(Model model, Findings findings, CancellationToken cancellation)
    {
        if (model.IrVersion > NewestIr)
        {
            findings.Error("ir-version", $"IR version {model.IrVersion} is newer than what ONNX Runtime reads ({NewestIr})");
        }

        foreach (string domain in model.Opsets.Keys.Where(d => d is not ("" or "ai.onnx" or "ai.onnx.ml" or Contrib) && !d.StartsWith("com.microsoft.", StringComparison.Ordinal)))
        {
            findings.Error("domain-unknown", $"operators of '{domain}' are not part of ONNX Runtime");
        }

        var index = new GraphIndex(model.Graph);
        bool quantized = false;
        foreach (Node node in model.Graph.Nodes)
        {
            cancellation.ThrowIfCancellationRequested();
            if (node.Domain == Contrib && node.OpType == "MatMulNBits")
            {
                quantized = true;
                CheckMatMulNBits(node, index, findings);
            }
            else if (node.Is("DequantizeLinear"))
            {
                quantized = true;
                CheckDequantize(node, index, findings);
            }
        }

        foreach (Tensor tensor in model.Graph.Initializers.Where(t => t.Name.Contains("scale", StringComparison.OrdinalIgnoreCase)))
        {
            if (tensor.TryGetRawData(out TensorData data))
            {
                new CheckedTensor(tensor.Name, tensor.DType, tensor.Shape, data).Scan(out bool notFinite, out _, cancellation);
                if (notFinite)
                {
                    findings.Error("scale-not-finite", "holds NaN or infinity", tensor.Name);
                }
            }
        }

        return (quantized ? "quantized" : "none", model.Graph.Initializers.Length);
    }

    private static void CheckMatMulNBits(Node node, GraphIndex index, Findings findings)
    {
        long k = node.Int("K", 0);
        long n = node.Int("N", 0);
        long bits = node.Int("bits", 4);
        long block = node.Int("block_size", 0);
        if (k <= 0 || n <= 0 || block < 16 || !BitOperations.IsPow2(block) || bits is < 2 or > 8)
        {
            findings.Error("arguments-invalid", $"node '{node.Handle}': K={k}, N={n}, bits={bits}, block_size={block}");
            return;
        }

        long blocks = (k + block - 1) / block;
        if (index.Constant(node.Input(1)) is Tensor codes && (codes.DType != DType.U8 || codes.Shape != new Shape(n, blocks, block * bits / 8)))
        {
            findings.Error("codes-mismatch", $"is {codes.DType.Name()}{codes.Shape}, MatMulNBits of K={k}, N={n} needs u8{new Shape(n, blocks, block * bits / 8)}", codes.Name);
        }

        if (index.Constant(node.Input(2)) is Tensor scales && (!scales.Shape.TryElementCount(out long count) || count != n * blocks))
        {
            findings.Error("scale-mismatch", $"has the shape {scales.Shape}, MatMulNBits of K={k}, N={n} needs {new Shape(n, blocks)}", scales.Name);
        }

        if (index.Constant(node.Input(3)) is Tensor zeros && zeros.DType == DType.U8 && zeros.Shape.TryElementCount(out long bytes) && bytes != n * (((blocks * bits) + 7) / 8))
        {
            findings.Error("codes-mismatch", $"has the shape {zeros.Shape}, zero points need {new Shape(n, ((blocks * bits) + 7) / 8)}", zeros.Name);
        }
    }

    /// <summary>What keeps ONNX Runtime from multiplying with the codes: then it makes floats of the whole weight in every run.</summary>
    private static void CheckDequantize(Node node, GraphIndex index, Findings findings)
    {
        if (index.Constant(node.Input(0)) is not Tensor weight || weight.DType is not (DType.I4 or DType.U4 or DType.I2 or DType.U2))
        {
            return;
        }

        string? reason = null;
        IReadOnlyList<ValueUse> uses = index.Uses(node.Outputs[0]);
        if (index.Constant(node.Input(1)) is Tensor scale && scale.DType == DType.BF16)
        {
            reason = "its scales are BF16";
        }
        else if (uses.Count != 1 || index.IsOutput(node.Outputs[0]))
        {
            reason = $"{uses.Count} nodes read the result";
        }
        else if (!(uses[0].Node.Is("MatMul") || uses[0].Node.Is("Gemm")) || uses[0].InputIndex != 1)
        {
            reason = $"{uses[0].Node.OpType} reads the result";
        }
        else if (node.Int("block_size", 0) is > 0 and long block && (block < 16 || !BitOperations.IsPow2(block) || node.Int("axis", 1) != 0))
        {
            reason = $"blocks of {block} along axis {node.Int("axis", 1)} are no power of two from 16 on along axis 0";
        }

        if (reason is not null)
        {
            findings.Warning("fusion-missed", $"ONNX Runtime expands the weight in every run, because {reason}", weight.Name);
        }
    }
}
