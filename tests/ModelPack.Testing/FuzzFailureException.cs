namespace ModelPack.Testing;

/// <summary>A fuzz case did not end as it must; the message holds the seed and the damage.</summary>
public sealed class FuzzFailureException(string message, Exception? innerException = null) : Exception(message, innerException);
