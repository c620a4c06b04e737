using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime;

/// <summary>A plain .onnx file behind the same interface as artifacts.</summary>
internal sealed class OnnxModel : ModelSession
{
    private OnnxModel(string path, InferenceSession session)
        : base(path, session)
    {
    }

    internal static OnnxModel Load(string path, ModelSessionOptions options)
    {
        using (MappedFile.Open(path))
        {
            // Reports a missing or unreadable file the way every other command does.
        }

        using SessionOptions sessionOptions = MakeSessionOptions(options);
        try
        {
            return new OnnxModel(path, new InferenceSession(path, sessionOptions));
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelPackException(ErrorCodes.SessionNotCreated, $"ONNX Runtime: {Reason(e)}", path, innerException: e);
        }
    }
}
