using System.CommandLine;
using System.Globalization;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack profile</c>.</summary>
internal static class ProfileCommand
{
    public static Command Create(CliHost host)
    {
        var output = new Option<string>("--output", "-o") { Description = "File to write the profile to (.json), for explain --profile and compile --profile", HelpName = "path" };
        var name = new Option<string>("--name") { Description = "Name of the profile; the processor's by default", HelpName = "name" };
        var list = new Option<bool>("--list") { Description = "Show the built-in profiles instead of measuring" };
        var command = new Command("profile", "Measure this machine: memory, arithmetic and every matrix kernel, in a few minutes") { output, name, list };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            if (session.Get(list))
            {
                if (session.Get(output) is not null)
                {
                    throw new UsageException("--list measures nothing that --output could write");
                }

                session.Show([.. HardwareProfiles.BuiltIn], JsonOutput.Types.HardwareProfileArray, console => List(console, HardwareProfiles.BuiltIn));
                return ExitCodes.Done;
            }

            string? path = session.Get(output);
            HardwareProfile Measure() => HardwareProfiler.Run(session.Get(name), session.Progress, session.Cancellation);
            HardwareProfile? profile = null;
            if (path is not null)
            {
                // The file first: a path that cannot be written should not cost the measurement.
                using var files = new AtomicFiles();
                files.Add(path, stream => stream.Write(HardwareProfileJson.Write(profile = Measure())));
                files.Commit();
            }

            profile ??= Measure();
            session.Show(profile, JsonOutput.Types.HardwareProfile, console => Print(console, profile, path));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void List(IAnsiConsole console, IReadOnlyList<HardwareProfile> profiles)
    {
        var table = new TextTable("profile", "kind", ">cores", ">memory GB/s", ">f32 GFLOP/s", ">best GFLOP/s", "source");
        foreach (HardwareProfile profile in profiles)
        {
            table.Add(
                profile.Name,
                profile.Kind,
                Words.Number(profile.Cores),
                Words.Fixed(profile.MemoryGbps, 0),
                Words.Fixed(profile.Gflops["f32"], 0),
                Words.Fixed(profile.Gflops.Values.Max(), 0),
                profile.Source);
        }

        table.WriteTo(console);
    }

    private static void Print(IAnsiConsole console, HardwareProfile profile, string? path)
    {
        console.WriteLine($"{profile.Name}  {Words.Count(profile.Cores, "core")}  {string.Join(" ", profile.Isa)}");
        console.WriteLine();
        var memory = new TextTable("memory", ">size", ">GB/s, one core", ">all");
        foreach (MemoryLevel level in profile.Memory)
        {
            memory.Add(level.Name, ByteSize.Format(level.Bytes), Words.Fixed(level.GbpsOne, 1), Words.Fixed(level.GbpsAll, 1));
        }

        memory.WriteTo(console);
        console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"f32 {profile.Gflops["f32"]:0} GFLOP/s on all cores; a node costs {profile.LaunchMicroseconds:0.00} us"));
        if (profile.LoadGbps > 0)
        {
            console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"opening an artifact takes {profile.OpenMilliseconds:0.0} ms, {profile.OpenNodeMicroseconds:0} us for each node and 1 s for {profile.LoadGbps:0.00} GB of weights"));
        }

        console.WriteLine();
        var kernels = new TextTable("kernel", ">block", ">G weights/s from a cache", ">all cores", ">from memory", ">all cores", ">G mul/s at 128 rows", ">all cores");
        foreach (KernelConstant kernel in profile.Kernels)
        {
            kernels.Add(
                kernel.Kernel,
                kernel.Block == 0 ? "" : Words.Number(kernel.Block),
                Words.Fixed(1 / kernel.Cached.One, 1),
                Words.Fixed(1 / kernel.Cached.All, 1),
                Words.Fixed(1 / kernel.FromMemory.One, 1),
                Words.Fixed(1 / kernel.FromMemory.All, 1),
                Words.Fixed(1 / kernel.Batch.One, 0),
                Words.Fixed(1 / kernel.Batch.All, 0));
        }

        kernels.WriteTo(console);
        if (profile.GatedMlps.Count > 0)
        {
            console.WriteLine();
            var gated = new TextTable("gated perceptron in one operator", ">rows", ">x as fast", ">all cores");
            foreach (GatedMlpConstant mlp in profile.GatedMlps)
            {
                gated.Add(ByteSize.Format(mlp.Bytes), Words.Number(mlp.Rows), Words.Fixed(1 / mlp.Ratio.One, 2), Words.Fixed(1 / mlp.Ratio.All, 2));
            }

            gated.WriteTo(console);
        }

        console.WriteLine(path is null ? "nothing written: name a file with -o to keep it" : Words.Printable(path));
    }
}
