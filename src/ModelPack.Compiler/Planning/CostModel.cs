using System.Text.RegularExpressions;

namespace ModelPack.Compiler.Planning;

/// <summary>What a product is expected to cost.</summary>
/// <param name="Seconds">Time.</param>
/// <param name="Bound">What it waits for: <c>memory</c>, <c>compute</c> or <c>launch</c>.</param>
/// <param name="Bytes">Bytes of the weight that it reads.</param>
/// <param name="Flops">Operations: two per multiplication.</param>
/// <param name="Measured">True when the kernel was measured on the machine; else the time follows from bandwidth and peak arithmetic.</param>
public sealed record NodeCost(double Seconds, string Bound, long Bytes, double Flops, bool Measured);

/// <summary>
/// Predicts products of activations [rows, inputs] and a weight [outputs, inputs] on a machine. Kernels that its profile measured: nanoseconds per weight, between those of a cache and those of memory by how much of the model
/// fits the last cache, and per further row what products of 128 rows took for a multiplication, an activation and an output. Others: the larger of bytes over bandwidth and operations over peak (GenZ, arXiv 2406.01698), each at 80 %.
/// </summary>
public static partial class CostModel
{
    /// <summary>Rows of activations at which the time per multiplication was measured.</summary>
    public const int BatchRows = 128;

    /// <summary>What products reach of bandwidth and peak arithmetic where nothing was measured.</summary>
    private const double Efficiency = 0.8;

    /// <summary>What one thread reaches of the last cache's bandwidth while it writes results that the cache before it does not hold (17 to 40 of 103 GB/s on an AMD EPYC, family 26 model 2).</summary>
    private const double Writing = 0.2;

    /// <summary>What several threads reach of it with activations and results, which come from and go to other cores (13 of 190 GB/s there, two threads).</summary>
    private const double Sharing = 0.07;

    /// <summary>Predicts one product.</summary>
    /// <param name="profile">The machine.</param>
    /// <param name="kernel">As plans name it; <c>expand</c> is ONNX Runtime's product of dense f32.</param>
    /// <param name="outputs">Rows of the weight.</param>
    /// <param name="inputs">Its columns.</param>
    /// <param name="weightBytes">Bytes that the kernel reads of it.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="threads">1, or all cores.</param>
    /// <param name="modelBytes">All weights that a run reads: what competes for the caches.</param>
    /// <param name="density">Share of the weights that is multiplied with.</param>
    /// <param name="activationBytes">Bytes of the activations; 0 where only kernels of one product are compared.</param>
    /// <param name="resultBytes">Bytes of the result, as before.</param>
    public static NodeCost Product(HardwareProfile profile, string kernel, long outputs, long inputs, long weightBytes, long rows, int threads, long modelBytes, double density = 1, long activationBytes = 0, long resultBytes = 0)
    {
        double weights = outputs * density * inputs;
        double flops = 2 * weights * rows;
        double launch = profile.LaunchMicroseconds * 1e-6;
        bool all = threads != 1;
        double fromMemory = FromMemory(profile, Math.Max(modelBytes, weightBytes));
        if (Find(profile, kernel) is KernelConstant constant)
        {
            // Scales of smaller blocks are more bytes to fetch, but hardly more to compute.
            double bytes = constant.BytesPerWeight > 0 ? weightBytes / weights / constant.BytesPerWeight : 1;
            double cached = Of(constant.Cached, all);
            double far = Math.Max(cached, Of(constant.FromMemory, all) * bytes);
            double row = cached + ((far - cached) * fromMemory);
            double next = Math.Max(0, (BatchRows * Of(constant.Batch, all)) - cached) / (BatchRows - 1);
            double moving = constant is { PerActivation: { } activation, PerOutput: { } output }
                ? (rows - 1) * ((inputs * Of(activation, all)) + (outputs * Of(output, all))) * 1e-9
                : Moving(profile, activationBytes, resultBytes, all);
            double computing = (weights * (row + ((rows - 1) * next)) * 1e-9) + moving;
            string bound = launch > computing ? "launch" : (row - cached) > (0.2 * cached) + ((rows - 1) * next) ? "memory" : "compute";
            return new NodeCost(launch + computing, bound, weightBytes, flops, true);
        }

        double gbps = Bandwidth(profile, all, fromMemory);
        double memory = weightBytes / (gbps * 1e9 * Efficiency);
        double peak = profile.Gflops["f32"] / (all ? 1 : profile.Cores);
        double compute = flops / (peak * 1e9 * Efficiency);
        double time = Math.Max(memory, compute);
        return new NodeCost(launch + time, launch > time ? "launch" : memory > compute ? "memory" : "compute", weightBytes, flops, false);
    }

    /// <summary>Seconds that activations and results take beyond what they took in the measured products, where they stay near; for profiles that do not know what each of their values takes.</summary>
    private static double Moving(HardwareProfile profile, long activationBytes, long resultBytes, bool all)
    {
        if (profile.Memory.Count < 3)
        {
            return 0;
        }

        MemoryLevel last = profile.Memory[^2];
        if (all && profile.Cores > 1)
        {
            return last.GbpsAll <= 0 ? 0 : (activationBytes + resultBytes) / (last.GbpsAll * 1e9 * Sharing);
        }

        return resultBytes <= profile.Memory[^3].Bytes || last.GbpsOne <= 0 ? 0 : resultBytes / (last.GbpsOne * 1e9 * Writing);
    }

    /// <summary>True when the profile measured the kernel.</summary>
    public static bool Knows(HardwareProfile profile, string kernel) => Find(profile, kernel) is not null;

    /// <summary>Of a product of many rows; 0 for a kernel that the profile did not measure.</summary>
    internal static double SecondsPerMultiplication(HardwareProfile profile, string kernel, bool all) => Find(profile, kernel) is KernelConstant constant ? Of(constant.Batch, all) * 1e-9 : 0;

    /// <summary>A kernel's name without its block and the operator that it is part of, and the block.</summary>
    public static (string Kernel, int Block) Split(string kernel)
    {
        int whole = kernel.IndexOf(" in ", StringComparison.Ordinal);
        kernel = whole < 0 ? kernel : kernel[..whole];
        if (kernel == NodeChoice.Expand)
        {
            return ("ort:MatMul", 0);
        }

        Match match = BlockArgument().Match(kernel);
        return match.Success ? (kernel.Remove(match.Index, match.Length), int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture)) : (kernel, 0);
    }

    /// <summary>The constants of a kernel, for the nearest block that was measured.</summary>
    private static KernelConstant? Find(HardwareProfile profile, string kernel)
    {
        (string name, int block) = Split(kernel);
        return profile.Kernels.Where(k => k.Kernel == name).MinBy(k => (double)Math.Max(Math.Max(1, k.Block), block) / Math.Max(1, Math.Min(k.Block, block)));
    }

    /// <summary>Share of the weights that comes from memory: none while the model takes half of the last cache, all from twice its size.</summary>
    private static double FromMemory(HardwareProfile profile, long modelBytes)
    {
        double cache = profile.Memory.Count < 2 ? 0 : profile.Memory[^2].Bytes;
        return cache <= 0 ? 1 : Math.Clamp((modelBytes - (0.5 * cache)) / (1.5 * cache), 0, 1);
    }

    private static double Bandwidth(HardwareProfile profile, bool all, double fromMemory)
    {
        double Of(MemoryLevel level) => all || level.GbpsOne <= 0 ? level.GbpsAll : level.GbpsOne;
        MemoryLevel memory = profile.Memory[^1];
        MemoryLevel near = profile.Memory.Count > 1 && profile.Memory[^2].GbpsAll > 0 ? profile.Memory[^2] : memory;
        return 1 / ((fromMemory / Of(memory)) + ((1 - fromMemory) / Of(near)));
    }

    private static double Of(ThreadTimes times, bool all) => all ? times.All : times.One;

    [GeneratedRegex(@",?block=(\d+)")]
    private static partial Regex BlockArgument();
}
