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
