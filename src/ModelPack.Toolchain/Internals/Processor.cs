using System.Runtime.InteropServices;

namespace ModelPack.Toolchain;

/// <summary>The processor that measurements were made on.</summary>
internal static class Processor
{
    private const string CpuInfo = "/proc/cpuinfo";

    /// <summary>Its name, on Linux with family and model: virtual machines shorten names, and the numbers keep them unique.</summary>
    public static string Name { get; } = Read() ?? RuntimeInformation.ProcessArchitecture.ToString();

    private static string? Read()
    {
        if (!File.Exists(CpuInfo))
        {
            return null;
        }

        string[] lines = File.ReadAllLines(CpuInfo);
        string? name = Field(lines, "model name");
        string? family = Field(lines, "cpu family");
        return name is null || family is null ? name : $"{name} family {family} model {Field(lines, "model\t")}";
    }

    private static string? Field(string[] lines, string key)
    {
        string? line = Array.Find(lines, l => l.StartsWith(key, StringComparison.Ordinal));
        return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }
}
