namespace ModelPack.Cli;

/// <summary>Exit codes of every command.</summary>
internal static class ExitCodes
{
    public const int Done = 0;

    /// <summary>The input or the result is bad; one line on stderr says what and where.</summary>
    public const int BadInput = 1;

    /// <summary>The command line is wrong; one line on stderr with a suggestion.</summary>
    public const int BadUsage = 2;

    /// <summary>A bug in ModelPack.</summary>
    public const int Internal = 3;

    /// <summary>Stopped by Ctrl-C or a termination signal.</summary>
    public const int Cancelled = 130;
}
