namespace ModelPack.Cli;

/// <summary>The command line asks for something that cannot be meant: exit code 2.</summary>
/// <param name="message">One line, starting in lower case, without the program's name.</param>
internal sealed class UsageException(string message) : Exception(message);
