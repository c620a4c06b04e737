using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Models larger than the memory they are compiled in.</summary>
public sealed class MemoryTests
{
    private const int TensorCount = 64;
    private const long TensorBytes = 64L << 20; // BF16 [8192, 4096]

    [Fact]
    public void Compile_fourGigabyteCheckpointInOneGigabyte_staysBelow1200Megabytes()
    {
        using var folder = new TempFolder();
        string input = Path.Combine(folder.Path, "model.safetensors");
        string output = Path.Combine(folder.Path, "model.mpack");
        WriteCheckpoint(input);
        (int exit, string json, long peak) = Run("compile", input, "-o", output, "--recipe", "int4", "--max-memory", "1GB", "--json");
        Assert.Equal(0, exit);
        Assert.InRange(peak, 1, 1_200_000_000);
        using JsonDocument result = JsonDocument.Parse(json);
        Assert.InRange(result.RootElement.GetProperty("peak_memory_bytes").GetInt64(), 1, 1_200_000_000);
        Assert.Equal(TensorCount, result.RootElement.GetProperty("tensors").GetArrayLength());
    }

    [SkippableFact]
    public void PackFromAPipe_ofHalfAGigabyte_staysNearItsMemoryLimit()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "reads /proc");
        using var folder = new TempFolder();
        byte[] piece = new byte[1 << 20];
        new SplitMix(3).Fill(piece);
        using Process process = Cli.CliProcess.Start(folder.Path, "pack", "-", "-o", "-", "--quiet", "--max-memory", "32MiB");
        Task<long> output = Task.Run(() =>
        {
            byte[] taken = new byte[1 << 16];
            long total = 0;
            int n;
            while ((n = process.StandardOutput.BaseStream.Read(taken)) > 0)
            {
                total += n;
            }

            return total;
        });
        using (Stream input = process.StandardInput.BaseStream)
        {
            for (int i = 0; i < 512; i++)
            {
                piece[i]++;
                input.Write(piece);
            }
        }

        long peak = 0;
        while (!process.WaitForExit(20))
        {
            peak = Math.Max(peak, PeakResident(process.Id));
        }

        Assert.Equal(0, process.ExitCode);
        Assert.InRange(output.Result, 512L << 20, 520L << 20);
        Assert.InRange(peak, 1, 250_000_000);
    }

    /// <summary>Tensors of zeros but for a megabyte of noise each, so that the file takes little disk and the work is real.</summary>
    private static void WriteCheckpoint(string path)
    {
        var header = new StringBuilder("{");
        for (int i = 0; i < TensorCount; i++)
        {
            header.Append(i == 0 ? "" : ",").Append(CultureInfo.InvariantCulture,
                $"\"model.layers.{i}.mlp.up_proj.weight\":{{\"dtype\":\"BF16\",\"shape\":[8192,4096],\"data_offsets\":[{i * TensorBytes},{(i + 1) * TensorBytes}]}}");
        }

        byte[] json = Encoding.ASCII.GetBytes(header.Append('}').ToString());
        using FileStream file = File.Create(path);
        file.Write(BitConverter.GetBytes((long)json.Length));
        file.Write(json);
        long data = file.Position;
        file.SetLength(data + (TensorCount * TensorBytes));
        byte[] noise = new byte[1 << 20];
        for (int i = 0; i < TensorCount; i++)
        {
            var random = new SplitMix((ulong)i);
            random.Fill(noise);
            for (int k = 1; k < noise.Length; k += 2)
            {
                noise[k] = (byte)(0x3C | (noise[k] & 0x83)); // magnitudes around 0.01 to 2: no NaN, no infinity
            }

            file.Position = data + (i * TensorBytes);
            file.Write(noise);
        }
    }

    /// <summary>Runs the command line as its own process and watches the most memory it ever had resident.</summary>
    private static (int Exit, string Output, long PeakBytes) Run(params string[] arguments)
    {
        string tool = Path.Combine(AppContext.BaseDirectory, "modelpack.dll");
        var start = new ProcessStartInfo("dotnet", [tool, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        long peak = 0;
        while (!process.WaitForExit(50))
        {
            peak = Math.Max(peak, PeakResident(process.Id));
        }

        Assert.True(process.ExitCode == 0, errors.Result);
        return (process.ExitCode, output.Result, peak);
    }

    /// <summary>VmHWM: the kernel keeps the maximum itself, so polling misses nothing but the last instant.</summary>
    private static long PeakResident(int process)
    {
        try
        {
            string? line = File.ReadLines($"/proc/{process}/status").FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? 0 : 1024 * long.Parse(line.AsSpan(6).Trim()[..^2], NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return 0; // The process ended between two looks.
        }
    }
}
