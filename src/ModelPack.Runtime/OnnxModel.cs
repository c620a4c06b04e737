using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Graphs;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime;

/// <summary>A plain .onnx file behind the same interface as artifacts.</summary>
internal sealed class OnnxModel : ModelSession
{
    /// <summary>Larger files are opened as they are: a changed model goes to ONNX Runtime as bytes, once more in memory.</summary>
    private const long MaxRewrittenBytes = 1L << 30;

    private OnnxModel(string path, InferenceSession session)
        : base(path, session)
    {
    }

    internal static OnnxModel Load(string path, ModelSessionOptions options)
    {
        byte[]? lastPosition;
        using (MappedFile file = MappedFile.Open(path))
        {
            // Reports a missing or unreadable file the way every other command does.
            lastPosition = options.LastPositionOnly && file.LengthBytes <= MaxRewrittenBytes ? TryKeepLastPosition(file) : null;
        }

        using SessionOptions sessionOptions = MakeSessionOptions(options);
        try
        {
            if (lastPosition is null)
            {
                return new OnnxModel(path, OrtSessions.Create(() => new InferenceSession(path, sessionOptions)));
            }

            sessionOptions.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
            sessionOptions.AddSessionConfigEntry("session.load_model_format", "ONNX");
            return new OnnxModel(path, OrtSessions.Create(() => new InferenceSession(lastPosition, sessionOptions))) { GivesLastPosition = true };
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelPackException(ErrorCodes.SessionNotCreated, $"ONNX Runtime: {Reason(e)}", path, innerException: e);
        }
    }

    private static byte[]? TryKeepLastPosition(MappedFile file)
    {
        try
        {
            return LastPosition.TryKeepOnly(file.Span(0, (int)file.LengthBytes));
        }
        catch (ModelPackException)
        {
            return null; // ONNX Runtime says what is wrong with the file.
        }
    }
}
