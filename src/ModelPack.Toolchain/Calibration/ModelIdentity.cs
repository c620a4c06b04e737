using System.IO.Hashing;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;

namespace ModelPack.Toolchain;

/// <summary>What tells whether two models compute the same: a hash of graph and weights.</summary>
internal static class ModelIdentity
{
    /// <summary>XXH3-128 of the graph and of the values of all its large constants, hexadecimal.</summary>
    public static string Of(Model model, CancellationToken cancellation)
    {
        var hash = new XxHash128();
        Model bare = model with { Metadata = [], Training = [], Foreign = default };
        hash.Append(OnnxModelWriter.WriteWeightless(bare, ArtifactContent.IsExternal, ArtifactContent.Dense));
        byte[] buffer = new byte[1 << 20];
        foreach (Tensor tensor in model.Graph.Initializers.Where(ArtifactContent.IsExternal))
        {
            Append(hash, ArtifactContent.Dense(tensor), buffer, cancellation);
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    /// <summary>Adds all bytes of some data.</summary>
    public static void Append(XxHash128 hash, TensorData data, byte[] buffer, CancellationToken cancellation)
    {
        for (long offset = 0; offset < data.LengthBytes; offset += buffer.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, data.LengthBytes - offset));
            data.Read(offset, part);
            hash.Append(part);
        }
    }
}
