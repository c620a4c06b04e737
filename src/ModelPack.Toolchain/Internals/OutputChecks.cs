namespace ModelPack.Toolchain;

/// <summary>Checks on output paths, before any work is done.</summary>
internal static class OutputChecks
{
    /// <exception cref="ModelPackException">MP4104: the output is a folder or its folder is missing; MP4105: it is one of the inputs.</exception>
    public static void RefuseToOverwriteInputs(string output, IEnumerable<MappedFile> inputs)
    {
        CheckWritable(output);
        string full = Path.GetFullPath(output);
        foreach (MappedFile input in inputs)
        {
            if (string.Equals(Path.GetFullPath(input.Path), full, StringComparison.Ordinal))
            {
                throw new ModelPackException(ErrorCodes.OutputIsInput, "the output is one of the inputs", output);
            }
        }
    }

    /// <summary>As the other, for inputs that are not open yet; a file of an input folder is one of the inputs.</summary>
    /// <exception cref="ModelPackException">MP4104, MP4105.</exception>
    public static void RefuseToOverwrite(string output, IEnumerable<string> inputs)
    {
        CheckWritable(output);
        string full = Path.GetFullPath(output);
        foreach (string input in inputs.Select(i => Path.TrimEndingDirectorySeparator(Path.GetFullPath(i))))
        {
            if (full == input || (File.Exists(full) && Directory.Exists(input) && full.StartsWith(input + Path.DirectorySeparatorChar, StringComparison.Ordinal)))
            {
                throw new ModelPackException(ErrorCodes.OutputIsInput, "the output is one of the inputs", output);
            }
        }
    }

    /// <exception cref="ModelPackException">MP4104.</exception>
    public static void CheckWritable(string output)
    {
        if (Directory.Exists(output))
        {
            throw new ModelPackException(ErrorCodes.OutputNotWritable, "the output is a folder", output);
        }

        string? folder = Path.GetDirectoryName(Path.GetFullPath(output));
        if (folder is not null && !Directory.Exists(folder))
        {
            throw new ModelPackException(ErrorCodes.OutputNotWritable, "the output's folder does not exist", output);
        }
    }

    /// <summary>A name beside the output, for a file that is renamed when everything has succeeded.</summary>
    public static string TemporaryName(string output) => $"{output}.tmp-{Environment.ProcessId}-eval";
}
