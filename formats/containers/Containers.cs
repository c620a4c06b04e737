using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;
using ModelPack.Containers.Gguf;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Safetensors;

namespace ModelPack.Containers;

/// <summary>All model file formats, in the order they are tried.</summary>
public static class Containers
{
    public static IReadOnlyList<IContainer> All { get; } =
    [
        new CheckpointContainer(),
        new SafetensorsContainer(), // before ONNX: its first bytes say more than protobuf's, and a header length may look like an IR version
        new GgufContainer(),
        new OnnxContainer(),
    ];

    /// <summary>The container of that name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static IContainer Get(string id) => All.FirstOrDefault(c => c.Id == id) ?? throw new ArgumentException($"no container '{id}'", nameof(id));

    /// <summary>Finds the container that recognises a file or folder.</summary>
    /// <exception cref="ModelPackException">MP1001 when nothing is there, MP1004 when nothing recognises it.</exception>
    public static IContainer For(string path)
    {
        if (!File.Exists(path) && !Directory.Exists(path))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such file or folder", path);
        }

        return All.FirstOrDefault(c => c.Recognizes(path))
            ?? throw new ModelPackException(ErrorCodes.UnknownFileKind, "neither ONNX, safetensors, GGUF nor a checkpoint folder", path);
    }
}
