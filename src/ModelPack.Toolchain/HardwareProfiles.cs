namespace ModelPack.Toolchain;

/// <summary>Hardware profiles by name, from data sheets, and from files that <see cref="HardwareProfiler"/> measured.</summary>
public static class HardwareProfiles
{
    private const long GB = 1_000_000_000;

    /// <summary>
    /// Peak numbers of data sheets: predictions from them say what a machine could do, not what it will. Dense arithmetic, without sparsity. Sources: NVIDIA A100 and H100 data sheets (SXM), AMD Instinct MI300X data sheet,
    /// Intel Gaudi 2 and Gaudi 3 white papers; of the CPUs, cores x clock x operations per cycle, and channels of memory x their rate.
    /// </summary>
    public static IReadOnlyList<HardwareProfile> BuiltIn { get; } =
    [
        Cpu("x64-desktop", "8 cores with AVX-512 or two AVX2 units at 4.5 GHz, two channels of DDR5-5200 (Ryzen 7 7700 class)", ["avx2", "fma"], 8, 4.5, 32, 32L << 20, 83, 40, 65),
        Cpu("x64-laptop", "4 fast cores with two AVX2 units at 4 GHz, LPDDR5-6400 on 128 bits (Core Ultra class)", ["avx2", "fma", "avxvnni"], 4, 4.0, 32, 12L << 20, 102, 40, 28),
        Cpu("x64-server", "64 cores with AVX-512 at 3 GHz, twelve channels of DDR5-4800 (EPYC 9004, Xeon Scalable class)", ["avx2", "fma", "avx512", "avx512vbmi"], 64, 3.0, 32, 256L << 20, 460, 30, 300),
        Cpu("arm64-server", "64 cores with 4 x 128-bit units at 2.6 GHz, eight channels of DDR5-4800 (Graviton3, Neoverse V1 class)", ["neon", "dotprod"], 64, 2.6, 32, 32L << 20, 307, 20, 100),
        Cpu("apple-m2", "4 performance cores with 4 x 128-bit units at 3.5 GHz, LPDDR5-6400 on 128 bits", ["neon", "dotprod"], 4, 3.5, 32, 16L << 20, 100, 60, 20),
        Cpu("raspberry-pi-5", "4 Cortex-A76 at 2.4 GHz, LPDDR4X-4267 on 32 bits", ["neon", "dotprod"], 4, 2.4, 16, 2L << 20, 17, 12, 8),
        Gpu("a100", "gpu", "sm80", "NVIDIA A100 80GB SXM", 108, 80 * GB, 2039, 400, ("f32", 19_500), ("f16", 312_000), ("bf16", 312_000), ("int8", 624_000)),
        Gpu("h100", "gpu", "sm90", "NVIDIA H100 SXM", 132, 80 * GB, 3350, 700, ("f32", 67_000), ("f16", 989_000), ("bf16", 989_000), ("fp8", 1_979_000), ("int8", 1_979_000)),
        Gpu("mi300x", "gpu", "gfx942", "AMD Instinct MI300X", 304, 192 * GB, 5300, 750, ("f32", 163_400), ("f16", 1_307_000), ("bf16", 1_307_000), ("fp8", 2_615_000), ("int8", 2_615_000)),
        Gpu("gaudi2", "accelerator", "gaudi2", "Intel Gaudi 2", 24, 96 * GB, 2450, 600, ("f32", 11_000), ("bf16", 432_000), ("fp8", 865_000)),
        Gpu("gaudi3", "accelerator", "gaudi3", "Intel Gaudi 3", 64, 128 * GB, 3700, 900, ("f32", 14_300), ("bf16", 1_835_000), ("fp8", 1_835_000)),
    ];

    /// <summary>A built-in profile by its name, or the profile in a file.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002: neither; MP5007: the file is no profile.</exception>
    public static HardwareProfile Load(string nameOrPath)
    {
        ArgumentException.ThrowIfNullOrEmpty(nameOrPath);
        if (BuiltIn.FirstOrDefault(p => p.Name == nameOrPath) is HardwareProfile known)
        {
            return known;
        }

        if (!File.Exists(nameOrPath))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, $"neither a file nor a built-in hardware profile; there are: {string.Join(", ", BuiltIn.Select(p => p.Name))}", nameOrPath);
        }

        using MappedFile file = MappedFile.Open(nameOrPath);
        if (file.LengthBytes > HardwareProfileJson.MaxBytes)
        {
            throw new ModelPackException(ErrorCodes.BadProfile, $"not a hardware profile: {file.LengthBytes} bytes long", nameOrPath);
        }

        return HardwareProfileJson.Read(file.Span(0, (int)file.LengthBytes), nameOrPath);
    }

    private static HardwareProfile Cpu(string name, string what, string[] isa, int cores, double gigahertz, int flopsPerCycle, long cacheBytes, double memoryGbps, double oneCoreGbps, double watts) => new()
    {
        Name = name,
        Source = "data sheets: " + what,
        Kind = "cpu",
        Isa = isa,
        Cores = cores,
        Memory = [new MemoryLevel("L3", cacheBytes, 0, 0), new MemoryLevel("memory", 0, Math.Min(oneCoreGbps, memoryGbps), memoryGbps)],
        Gflops = new Dictionary<string, double>(StringComparer.Ordinal) { ["f32"] = cores * gigahertz * flopsPerCycle },
        LaunchMicroseconds = 1,
        Watts = watts,
    };

    private static HardwareProfile Gpu(string name, string kind, string isa, string what, int cores, long bytes, double gbps, double watts, params (string DType, double Gflops)[] peaks) => new()
    {
        Name = name,
        Source = "data sheet: " + what,
        Kind = kind,
        Isa = [isa],
        Cores = cores,
        Memory = [new MemoryLevel("memory", bytes, 0, gbps)],
        Gflops = peaks.ToDictionary(p => p.DType, p => p.Gflops, StringComparer.Ordinal),
        LaunchMicroseconds = 5,
        Watts = watts,
    };
}
