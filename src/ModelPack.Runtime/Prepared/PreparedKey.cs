using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using ModelPack.Runtime.Loading;

namespace ModelPack.Runtime.Prepared;

/// <summary>What the content of a file of prepared weights follows from, and nothing else: the content of an artifact, and which of its weights an execution graph takes in which form. Instruction sets do not matter: layouts are the same on all.</summary>
internal static class PreparedKey
{
    /// <summary>Bytes of keys and identities: SHA-256.</summary>
    public const int LengthBytes = SHA256.HashSizeInBytes;

    /// <summary>To be raised whenever the bytes of an execution layout change, or what decoding gives; a test compares them with those that were recorded for this number.</summary>
    public const int LayoutVersion = 1;

    /// <summary>The key.</summary>
    /// <param name="artifact">Identity of the artifact.</param>
    /// <param name="weights">The weights, in the order in which the file holds them.</param>
    public static byte[] Of(ReadOnlySpan<byte> artifact, IReadOnlyList<WeightSlot> weights)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"prepared {PreparedHeader.Version}, layout {LayoutVersion}, artifact {Convert.ToHexStringLower(artifact)}\n");
        foreach (WeightSlot weight in weights)
        {
            InitializerBinding binding = weight.Bindings[0];
            _ = weight.TryLength(out long bytes);

            // The name last and with its length: nothing in it can look like another line.
            text.Append(CultureInfo.InvariantCulture, $"{binding.Role ?? "-"} {binding.DType.Name()} {(binding.Transposed ? 't' : 'n')} {bytes} {binding.Tensor.Length} {binding.Tensor}\n");
        }

        return SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString()));
    }

    /// <summary>Name of the file with a key.</summary>
    public static string FileName(ReadOnlySpan<byte> key) => Convert.ToHexStringLower(key) + PreparedFile.Extension;
}
