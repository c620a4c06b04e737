using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ModelPack;

/// <summary>The JSON form of <see cref="HardwareProfile"/>: snake_case, a file of its own or a blob of an artifact.</summary>
public static class HardwareProfileJson
{
    /// <summary>Far above any real profile.</summary>
    public const int MaxBytes = 4 << 20;

    private static readonly HardwareProfileTypes Types = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        IgnoreReadOnlyProperties = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NewLine = "\n",
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    });

    /// <summary>Writes a profile as UTF-8.</summary>
    public static byte[] Write(HardwareProfile profile) => JsonSerializer.SerializeToUtf8Bytes(profile, Types.HardwareProfile);

    /// <summary>Reads a profile.</summary>
    /// <param name="utf8">The JSON.</param>
    /// <param name="path">The file, for the message.</param>
    /// <exception cref="ModelPackException">MP5007: not a profile.</exception>
    public static HardwareProfile Read(ReadOnlySpan<byte> utf8, string? path = null)
    {
        try
        {
            HardwareProfile profile = utf8.Length > MaxBytes
                ? throw new JsonException($"{utf8.Length} bytes long, more than {MaxBytes}")
                : WithLists(JsonSerializer.Deserialize(utf8, Types.HardwareProfile) ?? throw new JsonException("null"));
            return Why(profile) is string reason ? throw new JsonException(reason) : profile;
        }
        catch (JsonException e)
        {
            throw new ModelPackException(ErrorCodes.BadProfile, $"not a hardware profile: {e.Message.ReplaceLineEndings(" ")}", path, innerException: e);
        }
    }

    /// <summary>Lists that a file leaves out, as those of before leave out later ones, are null when read, whatever their default is.</summary>
    private static HardwareProfile WithLists(HardwareProfile read) => read with { Isa = read.Isa ?? [], Kernels = read.Kernels ?? [], GatedMlps = read.GatedMlps ?? [], Convolutions = read.Convolutions ?? [] };

    /// <summary>What a plan could not compute with; null when nothing.</summary>
    private static string? Why(HardwareProfile profile)
    {
        bool Bad(double value) => !double.IsFinite(value) || value < 0;
        bool BadTimes(ThreadTimes? times) => times is not null && (Bad(times.One) || Bad(times.All));
        return profile.Cores < 1 ? "it has no cores"
            : profile.Memory.Count == 0 || profile.Memory.Any(m => m.Bytes < 0 || Bad(m.GbpsOne) || Bad(m.GbpsAll)) || profile.MemoryGbps <= 0 ? "its memory has no size or speed"
            : profile.Gflops.Values.Any(Bad) || !profile.Gflops.TryGetValue("f32", out double f32) || f32 <= 0 ? "it does not say how fast it computes in f32"
            : Bad(profile.LaunchMicroseconds) || Bad(profile.OpenMilliseconds) || Bad(profile.OpenNodeMicroseconds) || Bad(profile.LoadGbps) || Bad(profile.Watts) || profile.Kernels.Any(k => Bad(k.BytesPerWeight) || BadTimes(k.Cached) || BadTimes(k.FromMemory) || BadTimes(k.Batch) || BadTimes(k.PerActivation) || BadTimes(k.PerOutput))
                || profile.GatedMlps.Any(g => g.Bytes < 0 || g.Rows < 0 || BadTimes(g.Ratio)) || profile.Convolutions.Any(c => BadTimes(c.PerMultiplication) || BadTimes(c.PerValue)) ? "a number is negative or none"
            : null;
    }
}

/// <summary>Source-generated contract.</summary>
[JsonSerializable(typeof(HardwareProfile))]
internal sealed partial class HardwareProfileTypes : JsonSerializerContext;
