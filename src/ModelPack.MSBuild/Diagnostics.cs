using Microsoft.Build.Utilities;

namespace ModelPack.MSBuild;

/// <summary>Errors and warnings with a code and a file, as IDEs list them.</summary>
internal static class Diagnostics
{
    public static void Error(TaskLoggingHelper log, ErrorCode code, string file, string message) => Error(log, code.ToString(), file, message);

    public static void Error(TaskLoggingHelper log, string code, string file, string message) => log.LogError(null, code, null, file, 0, 0, 0, 0, "{0}", message);

    public static void Warning(TaskLoggingHelper log, ErrorCode code, string file, string message) => log.LogWarning(null, code.ToString(), null, file, 0, 0, 0, 0, "{0}", message);
}
