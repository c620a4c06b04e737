namespace ModelPack.Containers.Onnx;

/// <summary>Where an exported model holds its weights.</summary>
public enum OnnxWeights
{
    /// <summary>In the .onnx file while it stays small enough, else in a file beside it.</summary>
    Automatic,

    /// <summary>In the .onnx file; an error when it would be too large.</summary>
    Inline,

    /// <summary>In <c>&lt;name&gt;.onnx.data</c> beside the .onnx file.</summary>
    External,
}
