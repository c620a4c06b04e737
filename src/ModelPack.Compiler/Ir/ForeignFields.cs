namespace ModelPack.Compiler;

/// <summary>
/// What a container knows about an object and the IR does not model (documentation strings, metadata properties, fields of newer
/// schema versions), in the container's own serialised form. Passes carry it along and never look inside.
/// </summary>
public readonly record struct ForeignFields(ReadOnlyMemory<byte> Bytes)
{
    public bool IsEmpty => Bytes.IsEmpty;

    public bool Equals(ForeignFields other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    public override int GetHashCode() => Bytes.Length;
}
