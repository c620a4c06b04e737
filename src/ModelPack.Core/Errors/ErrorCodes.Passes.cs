namespace ModelPack;

public static partial class ErrorCodes
{
    // MP2001-2009: running passes.
    public static readonly ErrorCode PassFailed = new(2001, "a pass failed for a reason it did not foresee");
    public static readonly ErrorCode PhaseNotReached = new(2002, "a pass needs a phase that the passes before it do not reach");
    public static readonly ErrorCode UnknownPassOption = new(2003, "a pass has no option of that name");
    public static readonly ErrorCode BadPassOption = new(2004, "a pass option has a value of the wrong type or outside its range");
    public static readonly ErrorCode UnknownPass = new(2005, "there is no pass of that name");

    // MP2010-2029: graph legality.
    public static readonly ErrorCode DuplicateValue = new(2010, "a value is made twice");
    public static readonly ErrorCode UnresolvedValue = new(2011, "a node or output names a value that nothing makes");
    public static readonly ErrorCode GraphNotOrdered = new(2012, "a node comes before the node it reads from, or depends on itself");
    public static readonly ErrorCode DuplicateInitializer = new(2013, "two initializers have the same name");
    public static readonly ErrorCode EncodingMismatch = new(2014, "a tensor's encoding does not fit its shape or dtype");
    public static readonly ErrorCode PhaseRuleBroken = new(2015, "the graph holds something its phase forbids");
    public static readonly ErrorCode EmptyValueName = new(2016, "a graph input, output or initializer has no name");

    // MP2100-2149: recipes.
    public static readonly ErrorCode UnknownRecipe = new(2100, "no built-in recipe or file of that name");
    public static readonly ErrorCode RecipeSyntax = new(2101, "a recipe is not valid JSON");
    public static readonly ErrorCode UnknownRecipeKey = new(2102, "a recipe has an unknown key");
    public static readonly ErrorCode BadRecipeValue = new(2103, "a recipe key has a value of the wrong type");
    public static readonly ErrorCode BadRecipeRule = new(2104, "a recipe rule is not applicable");
    public static readonly ErrorCode BadAssignment = new(2105, "an override is not of the form pass.option=value");
    public static readonly ErrorCode BadFormatDefinition = new(2106, "a number format that a recipe defines is not usable");
}
