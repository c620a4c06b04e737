using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Onnx;

/// <summary>Import, export, compare.</summary>
internal static class OnnxRoundTrip
{
    /// <summary>Bytes of a tensor that no pass touched.</summary>
    public static TensorData Dense(Tensor tensor)
    {
        Assert.True(tensor.TryGetRawData(out TensorData data));
        return data;
    }

    /// <summary>Writes what is read from <paramref name="source"/> to <paramref name="target"/> and returns the files written.</summary>
    public static IReadOnlyList<string> Copy(string source, string target, OnnxExportOptions? options = null)
    {
        using ImportedModel imported = OnnxModelReader.Import(source);
        return OnnxModelWriter.Write(imported.Model, target, Dense, options);
    }

    /// <summary>Asserts that the model survives export with weights inside and outside the file.</summary>
    public static void AssertKept(ModelProto model, bool ignoreIrVersion = false)
    {
        using var folder = new TempFolder();
        string source = model.Save(folder, "source.onnx");
        Copy(source, folder["inside.onnx"]);
        OnnxSemantics.AssertSame(source, folder["inside.onnx"], ignoreIrVersion);
        Copy(source, folder["outside.onnx"], new OnnxExportOptions { Weights = OnnxWeights.External, MinExternalBytes = 1 });
        OnnxSemantics.AssertSame(source, folder["outside.onnx"], ignoreIrVersion);
    }
}
