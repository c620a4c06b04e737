using System.ComponentModel;
using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;

namespace ModelPack.EndToEnd.Tests;

/// <summary>
/// Fetches npm packages with the npm client when a test asks for them, once per machine: they stay unpacked in a cache folder below the user's
/// temporary folder. Without npm or network the tests that need them are skipped, and say why.
/// </summary>
public static class NpmPackages
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(3);
    private static readonly Lock Gate = new();
    private static readonly Dictionary<NpmPackage, string> Unavailable = [];

    /// <summary>Where packages are kept between runs.</summary>
    public static string CacheFolder { get; } = Path.Combine(Path.GetTempPath(), $"modelpack-npm-{Environment.UserName}");

    /// <summary>The folder of an unpacked package; skips the calling test (a <c>SkippableFact</c>) when it cannot be had.</summary>
    public static string Require(NpmPackage package)
    {
        bool available = TryGet(package, out string folder, out string reason);
        Skip.IfNot(available, reason);
        return folder;
    }

    /// <summary>Gives the folder of an unpacked package.</summary>
    /// <param name="package">The package.</param>
    /// <param name="folder">The folder that holds <c>package.json</c>, when available.</param>
    /// <param name="reason">Why it is not available, in one line.</param>
    /// <exception cref="InvalidDataException">What was fetched is not the pinned content: not a reason to skip.</exception>
    public static bool TryGet(NpmPackage package, out string folder, out string reason)
    {
        lock (Gate)
        {
            string name = string.Concat(package.ToString().Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? c : '_'));
            folder = Path.Combine(CacheFolder, name, "package");
            if (IsComplete(package, folder))
            {
                reason = "";
                return true;
            }

            if (!Unavailable.TryGetValue(package, out reason!))
            {
                reason = Fetch(package, Path.Combine(CacheFolder, name));
                if (reason.Length > 0)
                {
                    Unavailable[package] = reason;
                }
            }

            return reason.Length == 0;
        }
    }

    private static bool IsComplete(NpmPackage package, string folder) =>
        File.Exists(Path.Combine(folder, "package.json"))
        && package.Files.All(f => new FileInfo(Path.Combine(folder, f)) is { Exists: true, Length: > 0 });

    /// <summary>Packs and unpacks beside the final place, then renames: another test process sees all of it or nothing.</summary>
    private static string Fetch(NpmPackage package, string destination)
    {
        string work = string.Create(CultureInfo.InvariantCulture, $"{destination}.tmp-{Environment.ProcessId}");
        try
        {
            Directory.CreateDirectory(work);
            string reason = Pack(package, work);
            if (reason.Length > 0)
            {
                return reason;
            }

            string archive = Directory.GetFiles(work, "*.tgz").Single();
            Check(package, archive);
            string unpacked = Path.Combine(work, "unpacked");
            Directory.CreateDirectory(unpacked);
            using (var gzip = new GZipStream(File.OpenRead(archive), CompressionMode.Decompress))
            {
                TarFile.ExtractToDirectory(gzip, unpacked, overwriteFiles: false);
            }

            if (!IsComplete(package, Path.Combine(unpacked, "package")))
            {
                throw new InvalidDataException($"{package} does not hold the expected .onnx files");
            }

            Publish(package, unpacked, destination);
            return "";
        }
        finally
        {
            if (Directory.Exists(work))
            {
                Directory.Delete(work, recursive: true);
            }
        }
    }

    private static void Publish(NpmPackage package, string unpacked, string destination)
    {
        try
        {
            if (Directory.Exists(destination))
            {
                Directory.Delete(destination, recursive: true); // incomplete
            }

            Directory.Move(unpacked, destination);
        }
        catch (IOException) when (IsComplete(package, Path.Combine(destination, "package")))
        {
            // Another test process was faster.
        }
    }

    private static void Check(NpmPackage package, string archive)
    {
        using FileStream stream = File.OpenRead(archive);
        string actual = Convert.ToHexStringLower(SHA256.HashData(stream));
        if (actual != package.Sha256)
        {
            throw new InvalidDataException($"{package} has SHA-256 {actual}, not {package.Sha256}");
        }
    }

    private static string Pack(NpmPackage package, string folder)
    {
        string client = OperatingSystem.IsWindows() ? "npm.cmd" : "npm";
        var start = new ProcessStartInfo(client, ["pack", package.ToString(), "--silent", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=60000"])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> errors = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(Timeout))
            {
                process.Kill(entireProcessTree: true);
                return $"{package} was not fetched within {Timeout.TotalMinutes} minutes";
            }

            string text = (output.Result + errors.Result).ReplaceLineEndings(" ").Trim();
            return process.ExitCode == 0 && Directory.GetFiles(folder, "*.tgz").Length == 1
                ? ""
                : $"{package} cannot be fetched: npm pack ended with {process.ExitCode} {text[..Math.Min(200, text.Length)]}";
        }
        catch (Win32Exception)
        {
            return $"{package} cannot be fetched: npm is not on the PATH";
        }
    }
}
